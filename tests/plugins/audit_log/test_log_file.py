"""What was added is there whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.audit_log import log_file
from plugins.audit_log.log_file import LogFile, first_line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(path: Path) -> LogFile:
    found = LogFile()
    found.use(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), path, lambda _: None)
    return found


def test_what_belongs_to_a_record_and_fails_takes_the_record_back(log: LogFile, path: Path) -> None:
    def fails() -> None:
        raise OSError("no room")

    log.add(b"one\n", lambda: None)
    with pytest.raises(OSError, match="no room"):
        log.add(b"two\n", fails)
    assert (path.read_bytes(), log.size) == (b"one\n", 4)


def test_half_a_line_is_taken_back(
    log: LogFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(log_file.os, "write", lambda handle, data: real(handle, data[:2]))
    with pytest.raises(OSError, match="only 2 of 4"):
        log.add(b"one\n", lambda: None)
    assert path.read_bytes() == b""


def test_a_file_that_was_moved_or_replaced_is_not_there_any_more(log: LogFile, path: Path) -> None:
    log.add(b"one\n", lambda: None)
    assert log.grown_to() == 4
    path.rename(path.with_name("moved"))
    assert log.grown_to() == -1
    path.write_bytes(b"one\n")
    assert log.grown_to() == -1


def test_the_file_before_is_let_go_of_before_it_is_shut(log: LogFile, path: Path) -> None:
    seen: list[int] = []
    before = log.handle
    other = path.with_name("other")
    opened = os.open(other, os.O_RDWR | os.O_CREAT, 0o600)
    log.use(opened, other, lambda handle: seen.append(os.fstat(handle).st_ino))
    assert seen == [path.stat().st_ino]
    assert log.handle == opened != before
    assert first_line(log.handle) is None
    log.close()
    assert log.grown_to() == -1
