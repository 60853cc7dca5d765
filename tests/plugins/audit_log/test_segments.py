"""Files are found by their names and read from their ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.audit_log import codec, segments
from plugins.audit_log.segments import OpenSegment, first_line


def test_only_files_of_the_chain_are_taken_in_their_order(tmp_path: Path) -> None:
    for name in ("audit-000000000020.jsonl", "audit-000000000003.jsonl", "audit-old.jsonl", "x"):
        (tmp_path / name).touch()
    assert [segments.first_of(path) for path in segments.files(tmp_path)] == [3, 20]
    assert segments.name_of(3) == "audit-000000000003.jsonl"


@pytest.mark.parametrize("long", [10, 4000, 4096, 9000, 60_000])
@pytest.mark.parametrize("torn_tail", [b"", b'{"seq"', b"x" * 5000])
def test_the_last_record_is_found_however_long_it_is(
    tmp_path: Path, long: int, torn_tail: bytes
) -> None:
    raws, mac = [], codec.GENESIS
    for seq in (1, 2):
        raw, mac = codec.write(b"k", mac, seq, "t", f'"event":"a_b","x":"{"x" * long}"')
        raws.append(raw)
    for content, last in ((b"".join(raws), 2), (raws[0], 1)):
        path = tmp_path / "file"
        path.write_bytes(content + torn_tail)
        handle = os.open(path, os.O_RDONLY)
        end = segments.read_end(handle, path.stat().st_size)
        os.close(handle)
        assert end.last is not None
        assert (end.last.seq, end.torn_tail) == (last, torn_tail)


def test_an_empty_file_and_a_stump_alone_have_no_record(tmp_path: Path) -> None:
    for content in (b"", b'{"seq":1'):
        (tmp_path / "file").write_bytes(content)
        handle = os.open(tmp_path / "file", os.O_RDONLY)
        end = segments.read_end(handle, len(content))
        os.close(handle)
        assert (end.last, end.torn_tail) == (None, content)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_makes_belongs_to_the_service(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    segments.make(tmp_path / "audit")
    made = segments.create(tmp_path / "audit", 1, b"{}\n")
    for path in (tmp_path / "audit", made):
        assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)
    assert made.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(path: Path) -> OpenSegment:
    found = OpenSegment()
    found.use(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), path, lambda _: None)
    return found


def test_what_belongs_to_a_record_and_fails_takes_the_record_back(
    log: OpenSegment, path: Path
) -> None:
    def fails() -> None:
        raise OSError("no room")

    log.add(b"one\n", lambda: None)
    with pytest.raises(OSError, match="no room"):
        log.add(b"two\n", fails)
    assert (path.read_bytes(), log.size) == (b"one\n", 4)


def test_half_a_line_is_taken_back(
    log: OpenSegment, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(segments.os, "write", lambda handle, data: real(handle, data[:2]))
    with pytest.raises(OSError, match="only 2 of 4"):
        log.add(b"one\n", lambda: None)
    assert path.read_bytes() == b""


def test_a_file_that_was_moved_or_replaced_is_not_there_any_more(
    log: OpenSegment, path: Path
) -> None:
    log.add(b"one\n", lambda: None)
    assert log.grown_to() == 4
    path.rename(path.with_name("moved"))
    assert log.grown_to() == -1
    path.write_bytes(b"one\n")
    assert log.grown_to() == -1


def test_the_file_before_is_let_go_of_before_it_is_shut(log: OpenSegment, path: Path) -> None:
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
