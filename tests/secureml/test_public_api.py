"""What a plugin imports: few names first, the others by topic, each on the page, quick to load."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import secureml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
KIT = sorted(path.stem for path in (ROOT / "secureml" / "kit").glob("[a-z]*.py"))
LEARN = {"cards"}  # by its docstring, it needs NumPy
HEAVY = {"sklearn", "numpy", "scipy", "joblib", "gunicorn"}


@pytest.mark.parametrize("name", secureml.__all__)
def test_every_name_is_there(name):
    assert getattr(secureml, name) is not None


def test_every_lazy_name_is_in_the_vocabulary_and_is_what_it_says():
    assert set(secureml._LAZY) <= set(secureml.__all__)
    for name in secureml._LAZY:
        found = getattr(secureml, name)
        assert found.__name__.rpartition(".")[2] == name


def test_any_other_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'create_app'"):
        _ = secureml.create_app
    assert not hasattr(secureml, "Ledger")


def test_the_vocabulary_is_in_order_and_says_nothing_twice():
    assert sorted(set(secureml.__all__)) == sorted(secureml.__all__)


def named_at(heading: str) -> set[str]:
    """Return what the first column of a table of the page names."""
    table = PAGE.split(f"\n| {heading} |\n")[1].split("\n\n")[0]
    return {
        name for row in table.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])
    }


def test_few_names_are_first_and_the_page_has_them_all():
    """A newcomer reads them at a glance; what only some plugins need is behind a topic."""
    assert len(secureml.__all__) <= 30
    assert named_at("of `secureml` | what it is") == set(secureml.__all__)


def test_the_page_has_every_module_of_the_kit_once():
    handed_on, shared = named_at("module | when a plugin needs it"), named_at("module | purpose")
    assert not handed_on & shared
    assert {name.removeprefix("kit.") for name in handed_on | shared} == set(KIT)


@pytest.mark.parametrize("topic", KIT)
def test_what_a_topic_offers_is_there_and_on_the_page(topic):
    module = importlib.import_module(f"secureml.kit.{topic}")
    if hasattr(module, "__all__"):
        assert "for a plugin" in " ".join(module.__doc__.split())
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None
        assert name not in secureml.__all__
        assert re.search(rf"`(?:fields\.)?{name}[`(]", PAGE), name


def test_a_name_is_in_one_topic_only():
    modules = [importlib.import_module(f"secureml.kit.{topic}") for topic in KIT]
    names = [name for module in modules for name in getattr(module, "__all__", ())]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    "module",
    [
        "secureml",
        "secureml.cli.main",
        "secureml.cli.clients",
        *(f"secureml.kit.{topic}" for topic in KIT if topic not in LEARN),
    ],
)
def test_a_command_that_touches_no_model_does_not_wait_for_scikit_learn(module):
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/plugin.py"))


@pytest.mark.parametrize("module", ["secureml.app", *(f"plugins.{name}" for name in PLUGINS)])
def test_plugins_are_built_without_scikit_learn_which_takes_a_second_to_import(module):
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert module in done.stdout.split()
    assert not {"sklearn", "scipy", "pandas", "joblib"} & set(done.stdout.split())
