"""Pointers are replaced whole, and folders are there whole or gone."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from secureml.models.serving.version_pointers import remove_folder, text_of, write_pointer


def test_a_pointer_holds_the_last_version_and_nothing_lies_beside_it(tmp_path):
    for version in ("1", "12"):
        write_pointer(tmp_path / "current", version)
        assert text_of(tmp_path / "current") == version
    assert list(tmp_path.iterdir()) == [tmp_path / "current"]


def test_a_pointer_can_be_read_by_the_service_whatever_the_umask_of_root(tmp_path):
    before = os.umask(0o077)
    try:
        write_pointer(tmp_path / "current", "1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "current").stat().st_mode) == 0o644


def test_what_cannot_be_read_as_text_is_said_as_it_is_and_what_is_not_there_is_none(tmp_path):
    (tmp_path / "current").write_bytes(b"\xff1\n")
    assert text_of(tmp_path / "current") == "\ufffd1"
    assert text_of(tmp_path / "previous") is None
    assert text_of(tmp_path) is None  # a folder


def test_a_folder_that_is_removed_is_gone_under_its_name_even_if_not_all_of_it_could_be(
    tmp_path, monkeypatch
):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "card.json").write_text("{}", "ascii")

    def fail(path):
        raise OSError(path)

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError):
            remove_folder(tmp_path / "1", tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".removed-")
    remove_folder(left, tmp_path)
    assert not list(tmp_path.iterdir())
