"""What goes into an archive comes out of it, and pipes and sockets stay away."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest

from secureml.cli import archive
from secureml.config_error import ConfigError


def write(tmp_path, *paths):
    file = tmp_path / "archive"
    with archive.scratch(tmp_path) as scratch, file.open("wb") as opened:
        writer = archive.Writer(opened, scratch)
        for path in paths:
            writer.add(path, f"instance/{path.name}")
        writer.finish("now", tmp_path, ["what is elsewhere"])
    return file


def test_what_is_no_file_folder_or_link_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "socket"))
        (tmp_path / "file").write_bytes(b"content")
        file = write(tmp_path, tmp_path / "pipe", tmp_path / "socket", tmp_path / "file")
    (tmp_path / "out").mkdir()
    with archive.unpacked(file, tmp_path / "out") as manifest:
        assert [entry.name for entry in manifest.entries] == ["instance/file"]
        assert manifest.missing == ("what is elsewhere",)
        assert (tmp_path / "out/instance/file").read_bytes() == b"content"


def test_a_damaged_database_is_no_backup(tmp_path):
    (tmp_path / "db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(ConfigError, match="the database cannot be copied"):
        write(tmp_path, tmp_path / "db")


def test_what_sqlite_keeps_beside_a_database_is_known(tmp_path):
    (tmp_path / "a.db").touch()
    for name in ("a.db-wal", "a.db-shm", "a.db-journal"):
        assert archive.is_beside_a_database(tmp_path / name)
    assert not archive.is_beside_a_database(tmp_path / "b.db-wal")
    assert not archive.is_beside_a_database(tmp_path / "a.db")
