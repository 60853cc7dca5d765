"""What every Python process must read, and what none needs to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from secureml.confinement import readable_paths

CHECKOUT = Path(__file__).parents[3]


def test_folders_of_projects_are_not_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(CHECKOUT), *sys.path])
    found = readable_paths.search_path()
    assert found
    assert not {"", str(tmp_path), str(CHECKOUT)} & set(found)
    assert any(Path(path).name == "site-packages" for path in found)


def test_of_the_checkout_the_code_alone_is_readable():
    """An instance with its secrets may lie beside it."""
    inside = [Path(path) for path in readable_paths.installation()
              if Path(path).is_relative_to(CHECKOUT)]  # fmt: skip
    allowed = {CHECKOUT / "secureml"} | {
        path for path in inside if path.name in ("site-packages", "lib-dynload")
    }
    assert set(inside) <= allowed


def test_no_file_with_names_or_keys_of_users_is_readable():
    found = readable_paths.installation()
    for path in ("/etc/passwd", "/root", "/home", "/proc/1", "/run", "/tmp", "/var"):
        assert not any(Path(path) == Path(entry) or Path(entry) in Path(path).parents
                       for entry in found)  # fmt: skip


@pytest.fixture
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("open")
    for part in (folder, *folder.parents):
        if not part.stat().st_mode & 0o001 and part.owner() == folder.owner():
            part.chmod(0o755)
    folder.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "expected"),
    [(0o755, 0o644, True), (0o711, 0o644, True), (0o755, 0o640, False), (0o750, 0o644, False)],
)
def test_readable_by_others_means_by_its_mode_and_that_of_each_folder_above(
    folder, folder_mode, file_mode, expected
):
    file = folder / "file"
    file.write_text("x")
    file.chmod(file_mode)
    folder.chmod(folder_mode)
    above_is_open = all(part.stat().st_mode & 0o001 for part in folder.parents)
    assert readable_paths.readable_by_others([str(file)]) is (expected and above_is_open)


def test_what_is_missing_does_not_count():
    assert readable_paths.readable_by_others(["/no/such/path", os.devnull])
