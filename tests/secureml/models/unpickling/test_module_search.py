"""Modules are looked for without importing anything, and the way out names the path to set."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from secureml.models.unpickling.module_search import first_absent, how_to_find

LOUD = "raise RuntimeError('imported')"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package, a namespace and a module that tell by raising when they are imported."""
    for file in (
        "pkg_f/__init__",
        "pkg_f/inner/__init__",
        "pkg_f/inner/leaf",
        "mod_f",
        "space_f/a",
    ):
        path = tmp_path / f"{file}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LOUD)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pkg_f", ""),
        ("pkg_f.inner", ""),
        ("pkg_f.inner.leaf", ""),
        ("mod_f", ""),
        ("space_f.a", ""),
        ("sklearn.linear_model._logistic", ""),
        ("nothing_f", "nothing_f"),
        ("nothing_f.inner", "nothing_f"),
        ("pkg_f.nothing", "pkg_f.nothing"),
        ("pkg_f.nothing.leaf", "pkg_f.nothing"),
        ("pkg_f.inner.leaf.deeper", "pkg_f.inner.leaf.deeper"),
        ("mod_f.inner", "mod_f.inner"),
        ("space_f.b", "space_f.b"),
        ("pkg_f.", "pkg_f."),
        ("pkg_f\n", "pkg_f\n"),
    ],
)
def test_the_part_that_is_not_there_is_told_and_nothing_is_imported(module, absent):
    before = set(sys.modules)

    assert first_absent(module) == absent
    assert not {name for name in set(sys.modules) - before if "_f" in name}


def test_a_module_that_was_made_while_running_is_found(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_f", ModuleType("made_f"))

    assert first_absent("made_f") == ""
    assert first_absent("made_f.inner") == "made_f.inner"


def test_a_finder_that_fails_leaves_the_word_to_the_import(monkeypatch):
    class Broken:
        def find_spec(self, *words):
            raise KeyError(words)

    monkeypatch.setattr(sys, "meta_path", [Broken()])

    assert first_absent("whatever_f") == ""


def test_the_way_out_names_what_to_install_and_both_places_of_the_path():
    emitted = how_to_find(["a.b", "a.c", "d"])

    assert emitted.startswith("install a, d, or ")
    assert "PYTHONPATH=/path/to/folder before this command" in emitted
    assert "Environment=PYTHONPATH=/path/to/folder in the systemd unit" in emitted
