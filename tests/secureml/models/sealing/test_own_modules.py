"""Of modules of one's own a confined child may read those whose names were allowed, and no folder
beside them."""

from __future__ import annotations

import sys

import pytest

from secureml.models.sealing.own_modules import names_beside, own_modules


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text("raise RuntimeError('it was imported')")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("raise RuntimeError('it was imported')")
    (tmp_path / "secrets.txt").write_text("s3cret")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_module_is_its_file_and_a_package_its_folder(folder):
    assert own_modules(["ours.Class", "parts.sub.Class", "parts.other"]) == {
        "ours": folder / "ours.py",
        "parts": folder / "parts",
    }
    assert not {"ours", "parts"} & sys.modules.keys()


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.linear_model._logistic.LogisticRegression",
        "cryptography.fernet.Fernet",
        "json.decoder.JSONDecoder",
        "absent_module.Class",
        "posix.system",
        "sys.exit",
        "",
        "..",
        "a b.C",
    ],
)
def test_what_is_installed_built_in_or_absent_adds_nothing(folder, name):
    assert own_modules([name]) == {}


def test_modules_outside_the_installation_are_named_and_not_imported(folder):
    found = names_beside()

    assert {"ours", "parts"} <= set(found)
    assert "sklearn" not in found
    assert not {"ours", "parts"} & sys.modules.keys()
