"""Every way to tamper is found at the first broken record, and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.audit_log import codec, segments, verify
from plugins.audit_log.chain import Chain, ChainOptions, WrongKey
from plugins.audit_log.checkpoint import Checkpoint

KEY = b"k" * 32
Lines = list[bytes]


def now() -> float:
    return 1_767_225_600.0


def write(place: Path, count: int = 10, **terms: int) -> Checkpoint:
    chain = Chain(place, KEY, now, ChainOptions(fsync="never", **terms))  # type: ignore[arg-type]
    for n in range(count):
        head = chain.append({"event": "a_b", "n": n})
    chain.close()
    return Checkpoint(head.seq, head.mac, "then")


def changed(lines: Lines) -> Lines:
    return [*lines[:4], lines[4].replace(b'"n":3', b'"n":9'), *lines[5:]]


def seal_changed(lines: Lines) -> Lines:
    return [*lines[:4], lines[4][:-10] + b'00000000"}', *lines[5:]]


def garbled(lines: Lines) -> Lines:
    return [*lines[:4], b"\0" * 40, *lines[5:]]


def deleted(lines: Lines) -> Lines:
    return [*lines[:4], *lines[6:]]


def inserted_copy(lines: Lines) -> Lines:
    return [*lines[:4], lines[2], *lines[4:]]


def inserted_forgery(lines: Lines) -> Lines:
    made, _ = codec.write(b"x" * 32, "0" * 64, 5, "2026-01-01T00:00:00.000Z", '"event":"a_b"')
    return [*lines[:4], made[:-1], *lines[4:]]


def inserted_noise(lines: Lines) -> Lines:
    return [*lines[:4], b"noise", *lines[4:]]


def swapped(lines: Lines) -> Lines:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def moved_down(lines: Lines) -> Lines:
    return [*lines[:4], *lines[5:9], lines[4], *lines[9:]]


def forged(lines: Lines) -> Lines:
    kind, previous = lines[:4], codec.read(lines[3]).mac  # type: ignore[union-attr]
    for seq in range(5, 8):
        made, previous = codec.write(
            b"x" * 32, previous, seq, "2026-01-01T00:00:00.000Z", '"event":"a_b"'
        )
        kind.append(made[:-1])
    return kind


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (changed, "changed"),
        (seal_changed, "changed"),
        (garbled, "changed"),
        (deleted, "deleted"),
        (inserted_copy, "inserted"),
        (inserted_forgery, "inserted"),
        (inserted_noise, "inserted"),
        (swapped, "swapped"),
        (moved_down, "swapped"),
        (forged, "forged"),
    ],
)
def test_tampering_is_found_where_it_was_done(
    tmp_path: Path, tamper: Callable[[Lines], Lines], kind: str
) -> None:
    write(tmp_path)
    path = segments.files(tmp_path)[0]
    lines = tamper(path.read_bytes().splitlines())
    path.write_bytes(b"".join(raw + b"\n" for raw in lines))

    found = verify.verify(tmp_path, KEY).finding
    assert found is not None
    assert (found.kind, found.seq, found.line, found.file) == (kind, 5, 5, path.name)


@pytest.mark.parametrize("at", range(11))
def test_a_changed_byte_anywhere_in_a_record_is_found(tmp_path: Path, at: int) -> None:
    write(tmp_path)
    path = segments.files(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    for byte in range(len(lines[at]) - 1):
        spoilt = bytearray(lines[at])
        spoilt[byte] ^= 1
        path.write_bytes(b"".join([*lines[:at], bytes(spoilt), *lines[at + 1 :]]))
        try:
            found = verify.verify(tmp_path, KEY).finding
        except WrongKey:
            continue  # the one record that names the key
        assert found is not None, byte
        assert found.seq == at + 1, byte


def test_an_untouched_chain_of_many_files_passes(tmp_path: Path) -> None:
    point = write(tmp_path, 60, rotate=700)
    report = verify.verify(tmp_path, KEY, point)

    assert report.finding is None
    assert report.files == len(segments.files(tmp_path)) > 5
    assert (report.first, report.last, report.records) == (1, point.seq, point.seq)


@pytest.mark.parametrize("which", [0, 3])
def test_a_dropped_file_is_missed(tmp_path: Path, which: int) -> None:
    write(tmp_path, 60, rotate=700)
    gone = segments.files(tmp_path)[which]
    gone.unlink()

    found = verify.verify(tmp_path, KEY).finding
    assert found is not None
    assert (found.kind, found.seq) == ("dropped file", segments.first_of(gone))


def test_a_tail_cut_off_is_missed_by_the_checkpoint(tmp_path: Path) -> None:
    point = write(tmp_path)
    path = segments.files(tmp_path)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:6]))

    assert verify.verify(tmp_path, KEY).finding is None, "nobody can tell without a checkpoint"
    found = verify.verify(tmp_path, KEY, point).finding
    assert found is not None
    assert (found.kind, found.seq) == ("truncated", 7)


def test_all_files_gone_is_missed_by_the_checkpoint(tmp_path: Path) -> None:
    point = write(tmp_path)
    segments.files(tmp_path)[0].unlink()
    found = verify.verify(tmp_path, KEY, point).finding
    assert found is not None
    assert (found.kind, found.seq) == ("truncated", 1)


def test_an_older_copy_that_was_restored_and_written_on_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a", 5)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    point = write(tmp_path / "a", 5)
    shutil.rmtree(tmp_path / "a")
    shutil.move(tmp_path / "copy", tmp_path / "a")
    Chain(tmp_path / "a", KEY, now).append({"event": "c_d"})
    write(tmp_path / "a", 9)

    found = verify.verify(tmp_path / "a", KEY, point).finding
    assert found is not None
    assert (found.kind, found.seq) == ("replaced", point.seq)


def test_a_chain_cut_under_a_running_writer_is_told_without_a_checkpoint(tmp_path: Path) -> None:
    chain = Chain(tmp_path, KEY, now)
    for _ in range(5):
        chain.append({"event": "a_b"})
    path = segments.files(tmp_path)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    chain.append({"event": "a_b"})

    found = verify.verify(tmp_path, KEY).finding
    assert found is not None
    assert (found.kind, found.seq) == ("truncated", 4)


def test_a_killed_writer_is_no_tampering(tmp_path: Path) -> None:
    write(tmp_path)
    path = segments.files(tmp_path)[0]
    made, _ = codec.write(KEY, "0" * 64, 12, "2026-01-01T00:00:00.000Z", '"event":"a_b"')
    for torn_tail in (b'{"seq":12,"ti', b"{", made[:-1]):
        path.write_bytes(path.read_bytes() + torn_tail)
        assert verify.verify(tmp_path, KEY).finding is None
        write(tmp_path, 2)
    report = verify.verify(tmp_path, KEY)
    assert report.finding is None
    assert len(report.notes) == 3


def test_the_wrong_key_is_told_apart_from_tampering(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(WrongKey):
        verify.verify(tmp_path, b"x" * 32)


# -- a line that does not belong here: what it is ------------------------------------------------


def foreign(place: Path, count: int, first: int) -> Lines:
    """Return records of another instance's chain under the same key, from one number on."""
    write(place, count)
    return segments.files(place)[0].read_bytes().splitlines()[first - 1 :]


def said(place: Path) -> tuple[str, str]:
    found = verify.verify(place, KEY).finding
    assert found is not None
    return found.kind, found.text


def put(place: Path, lines: Lines) -> None:
    segments.files(place)[0].write_bytes(b"".join(raw + b"\n" for raw in lines))


@pytest.mark.parametrize("at", [6, 11])
@pytest.mark.parametrize("count", [1, 3])
def test_a_foreign_record_put_in_is_not_called_a_copy(tmp_path: Path, at: int, count: int) -> None:
    write(tmp_path / "ours")
    ours = segments.files(tmp_path / "ours")[0].read_bytes().splitlines()
    theirs = foreign(tmp_path / "theirs", 20, 4)[:count]
    put(tmp_path / "ours", [*ours[:at], *theirs, *ours[at:]])
    kind, text = said(tmp_path / "ours")
    assert kind == "inserted"
    assert "a foreign record: it has the number 4, but record 4 is a different one" in text


@pytest.mark.parametrize("at", [6, 11])
def test_a_copy_is_called_one(tmp_path: Path, at: int) -> None:
    write(tmp_path)
    lines = segments.files(tmp_path)[0].read_bytes().splitlines()
    put(tmp_path, [*lines[:at], lines[3], *lines[at:]])
    assert said(tmp_path) == ("inserted", "a copy of record 4")


def test_foreign_records_with_higher_numbers_are_no_gap(tmp_path: Path) -> None:
    write(tmp_path / "ours")
    ours = segments.files(tmp_path / "ours")[0].read_bytes().splitlines()
    theirs = foreign(tmp_path / "theirs", 40, 30)
    put(tmp_path / "ours", [*ours, *theirs])
    kind, text = said(tmp_path / "ours")
    assert (kind, "with the number 30" in text) == ("inserted", True)
    put(tmp_path / "ours", [*ours[:6], theirs[0], *ours[6:]])
    assert said(tmp_path / "ours")[0] == "inserted"


def test_a_foreign_record_of_the_expected_number_is_not_ours(tmp_path: Path) -> None:
    write(tmp_path / "ours")
    ours = segments.files(tmp_path / "ours")[0].read_bytes().splitlines()
    theirs = foreign(tmp_path / "theirs", 20, 7)[:1]
    put(tmp_path / "ours", [*ours[:6], *theirs, *ours[6:]])
    assert said(tmp_path / "ours") == (
        "inserted",
        "a foreign record with the number 7",
    )


def test_a_record_moved_up_by_several_places_is_called_swapped(tmp_path: Path) -> None:
    write(tmp_path)
    lines = segments.files(tmp_path)[0].read_bytes().splitlines()
    put(tmp_path, [*lines[:4], lines[8], *lines[4:8], *lines[9:]])
    assert said(tmp_path) == ("swapped", "record 9 is in front of record 5")
