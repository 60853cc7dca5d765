"""Docs are checked against the code: a setting, code, rule or route without its line fails."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import settings_reference

from secureml.cli.main import CORE
from secureml.pipeline.problems import CATALOGUE
from secureml.state.fields import SecretRef

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def text(name: str) -> str:
    """Return a page."""
    return (CHECKOUT / name).read_text("utf-8")


def test_the_settings_page_is_what_the_schemas_say():
    """Run `python tests/project/settings_reference.py` when this fails."""
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
    sources = [*(CHECKOUT / "secureml/models").rglob("*.py"), CHECKOUT / "secureml/api.py"]
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


def test_every_file_a_page_names_is_there():
    """In backticks, by its path from the top."""
    named = re.compile(r"`((?:secureml|plugins|deploy|tests|docs|script)/[\w./-]+)`")
    broken = {
        (page.name, name)
        for page in PAGES
        if page.name != "changelog.md"
        for name in named.findall(page.read_text("utf-8"))
        if not name.startswith("plugins/opening_hours") and not (CHECKOUT / name).exists()
    }
    assert broken == set()


def test_the_logrotate_example_is_the_file():
    """Whoever reads the page and whoever copies the file get the same."""
    assert f"```\n{text('deploy/logrotate/secureml')}```" in text("docs/operations.md")


def test_every_secret_of_the_settings_is_on_the_page_of_the_secrets():
    """Else whoever reads it believes that there is one alone."""
    page = text("docs/secrets.md")
    rows = [line for line in page.splitlines() if line.startswith("| `[")]
    wanted = {
        (name, key)
        for name, _, schema, _ in settings_reference.tables()
        for key, field in schema().fields.items()
        if isinstance(getattr(field, "inner", field), SecretRef)
    }
    named = {
        (table, key)
        for row in rows
        for table in re.findall(r"`\[([\w.]+)\]`", row.split(" | ")[0])
        for key in re.findall(r"`(\w+)`", row.split(" | ")[1])
    }
    assert named == wanted
    assert "oday that is" not in page


def test_the_refusals_of_the_secrets_are_in_the_table_of_messages():
    """What an operator will paste into a search."""
    page = text("docs/operations.md")
    for message in (
        "lets others in",
        "lets other users read this secret",
        "the secret file belongs to another user",
        "the secret file cannot be read",
        "the store cannot be read",
    ):
        assert message in page, message
        sources = (CHECKOUT / "secureml").rglob("*.py")
        assert any(message in source.read_text("utf-8") for source in sources), message
