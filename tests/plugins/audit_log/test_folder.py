"""Files are found by their names and read from their ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.audit_log import folder, line


def test_only_files_of_the_chain_are_taken_in_their_order(tmp_path: Path) -> None:
    for name in ("audit-000000000020.jsonl", "audit-000000000003.jsonl", "audit-old.jsonl", "x"):
        (tmp_path / name).touch()
    assert [folder.first_of(path) for path in folder.files(tmp_path)] == [3, 20]
    assert folder.name_of(3) == "audit-000000000003.jsonl"


@pytest.mark.parametrize("long", [10, 4000, 4096, 9000, 60_000])
@pytest.mark.parametrize("stump", [b"", b'{"seq"', b"x" * 5000])
def test_the_last_record_is_found_however_long_it_is(
    tmp_path: Path, long: int, stump: bytes
) -> None:
    raws, mac = [], line.GENESIS
    for seq in (1, 2):
        raw, mac = line.write(b"k", mac, seq, "t", f'"event":"a_b","x":"{"x" * long}"')
        raws.append(raw)
    for content, last in ((b"".join(raws), 2), (raws[0], 1)):
        path = tmp_path / "file"
        path.write_bytes(content + stump)
        handle = os.open(path, os.O_RDONLY)
        end = folder.read_end(handle, path.stat().st_size)
        os.close(handle)
        assert end.last is not None
        assert (end.last.seq, end.stump) == (last, stump)


def test_an_empty_file_and_a_stump_alone_have_no_record(tmp_path: Path) -> None:
    for content in (b"", b'{"seq":1'):
        (tmp_path / "file").write_bytes(content)
        handle = os.open(tmp_path / "file", os.O_RDONLY)
        end = folder.read_end(handle, len(content))
        os.close(handle)
        assert (end.last, end.stump) == (None, content)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_makes_belongs_to_the_service(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    folder.make(tmp_path / "audit")
    made = folder.create(tmp_path / "audit", 1, b"{}\n")
    for path in (tmp_path / "audit", made):
        assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)
    assert made.stat().st_mode & 0o777 == 0o640
