"""Docs are checked against the code: a setting, code, rule or route without its line fails."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import settings_reference

from secureml.cli.main import CORE
from secureml.corridor.problems import CATALOGUE

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def text(name: str) -> str:
    """Return a page."""
    return (CHECKOUT / name).read_text("utf-8")


def test_the_settings_page_is_what_the_schemas_say():
    """Run `python tests/house/settings_reference.py` when this fails."""
    assert text("docs/settings.md") == settings_reference.markdown()


def test_the_example_file_is_what_the_schemas_say():
    """The same command writes it."""
    assert text("instance/secureml.example.toml") == settings_reference.example()


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_every_problem_code_has_its_line(kind):
    """With its status."""
    assert re.search(rf"`{kind.code}` \| {kind.status} \|", text("docs/problems.md"))


def test_every_code_of_a_plugin_has_its_line_in_its_readme():
    """Plugins' own codes live with them."""
    missing = [
        kind.code
        for cls in settings_reference.plugins()
        for kind in cls.problems
        if kind.code not in text(f"plugins/{cls.name}/README.md")
    ]
    assert missing == []


def test_every_rule_word_has_its_line():
    """The words that stand in `errors`."""
    sources = [*(CHECKOUT / "secureml/models").glob("*.py"), CHECKOUT / "secureml/api.py"]
    raised = set()
    for source in sources:
        raised |= set(re.findall(r'_WrongCell\("(\w+)"\)', source.read_text()))
        raised |= set(re.findall(r', "(\w+)"\)\]\)', source.read_text()))
        raised |= set(re.findall(r'Fault\("[^"]*", "(\w+)"\)', source.read_text()))
        raised |= set(re.findall(r'\(\((?:path|f"[^"]*"), "(\w+)"\)', source.read_text()))

    page = text("docs/problems.md")
    assert len(raised) > 5
    assert [rule for rule in sorted(raised) if f"| `{rule}` |" not in page] == []


@pytest.mark.parametrize("command", sorted(CORE))
def test_every_core_command_is_in_the_docs(command):
    """Somewhere an operator would look."""
    assert any(f"secureml {command}" in page.read_text("utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    """To a file or folder of this tree."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    broken = [target for target in targets if not (page.parent / target).exists()]

    assert broken == []


def test_the_two_commands_can_be_run():
    """As README shows them."""
    for command in ("script/server", "script/test", "script/bench", ".ci/run"):
        assert os.access(CHECKOUT / command, os.X_OK), command


def test_the_access_logs_fields_are_the_documented_ones():
    """A field nobody documented is a field nobody may build on."""
    source = text("plugins/access_log/line.py")
    written = set(re.findall(r'^        "(\w+)":', source, re.MULTILINE))
    written |= set(re.findall(r'fields\["(\w+)"\]', source))
    page = text("docs/operations.md")

    assert len(written) > 10
    assert [name for name in sorted(written) if f"`{name}`" not in page] == []
