"""Untrusted files: at most so many bytes, of a regular file, and one line where it is refused."""

from __future__ import annotations

import os

import pytest

from secureml.config_error import ConfigError
from secureml.models.provenance.untrusted_file import read_file, refuse, words


def test_a_file_is_read_up_to_the_limit_and_not_beyond(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)

    assert read_file(file, 10, "bundle") == b"x" * 10
    with pytest.raises(ConfigError, match=r"file: the bundle is larger than 9 bytes; fix: "):
        read_file(file, 9, "bundle")


def test_attack_a_fifo_does_not_hang_and_a_folder_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ConfigError, match="is not a regular file"):
            read_file(path, 10, "bundle")
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_file(tmp_path / "absent", 10, "bundle")


def test_attack_a_name_of_a_file_cannot_write_a_second_line_or_move_the_cursor(tmp_path):
    with pytest.raises(ConfigError) as told:
        refuse(tmp_path / "a\nb\x1b[2J", "it is wrong", "another")
    assert str(told.value).isprintable()
    assert words(ValueError("a\n\x1b[2Jb")).isprintable()
    assert words(KeyError()) == "KeyError"
