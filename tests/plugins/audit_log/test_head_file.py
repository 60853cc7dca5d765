"""The second place: what it says is sealed, and a mark that was torn leaves the one before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugins.audit_log.head_file import BREAK, DISK, HEAD, SLOT, HeadFile, Mark, boot_id
from plugins.audit_log.keyring import Keyring

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store" / "audit-head"


def head_file(place: Path, key: bytes = KEY, *former: bytes, boot: str = "boot-1") -> HeadFile:
    return HeadFile(place, Keyring(key, former), boot)


def test_what_was_marked_is_read_by_another_process_object(place: Path) -> None:
    one = head_file(place)
    for seq in (1, 2, 3):
        one.write(HEAD, KEY, seq, f"{seq}" * 64, "chain")
    one.write(DISK, KEY, 2, "2" * 64, "chain")
    found = head_file(place).read()
    assert found.head == Mark(3, "3" * 64, "chain", "boot-1", KEY)
    assert found.on_disk == Mark(2, "2" * 64, "chain", "boot-1", KEY)
    assert (found.exists, found.broken) == (True, None)


def test_it_is_for_its_writer_alone_and_in_a_folder_of_its_own(place: Path) -> None:
    head_file(place).write(HEAD, KEY, 1, "1" * 64, "chain")
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place.stat().st_size == 5 * SLOT, "all the room it will ever need, from the beginning"


def test_no_file_is_not_the_same_as_one_that_says_nothing(place: Path) -> None:
    assert not head_file(place).read().exists
    place.parent.mkdir()
    place.write_bytes(b"noise" * 1000)
    found = head_file(place).read()
    assert (found.exists, found.head) == (True, None)


def test_attack_a_mark_that_was_changed_is_none_and_the_one_before_it_stands(place: Path) -> None:
    one = head_file(place)
    one.write(HEAD, KEY, 2, "2" * 64, "chain")
    one.write(HEAD, KEY, 3, "3" * 64, "chain")
    whole = place.read_bytes()
    for byte in range(len(whole[SLOT : 2 * SLOT].rstrip())):
        content = bytearray(whole)
        content[SLOT + byte] ^= 1
        place.write_bytes(content)
        found = one.read().head
        assert found is not None, byte
        assert found.seq == 2, byte


def test_attack_a_mark_of_another_kind_or_key_is_no_head(place: Path) -> None:
    one = head_file(place)
    one.write(DISK, KEY, 9, "9" * 64, "chain")
    content = place.read_bytes()
    place.write_bytes(content[3 * SLOT : 4 * SLOT] * 5)
    assert one.read().head is None
    head_file(place, OTHER).write(HEAD, OTHER, 9, "9" * 64, "chain")
    assert head_file(place).read().head is None


def test_a_lower_number_is_believed_only_where_it_was_meant(place: Path) -> None:
    one = head_file(place)
    for seq in (8, 9):
        one.write(HEAD, KEY, seq, "a" * 64, "chain")
    one.write(HEAD, KEY, 4, "b" * 64, "chain")
    assert one.read().head.seq == 9  # type: ignore[union-attr]
    one.write(HEAD, KEY, 5, "b" * 64, "chain", back=True)
    assert one.read().head.seq == 5  # type: ignore[union-attr]


def test_a_file_that_was_taken_away_is_made_again(place: Path) -> None:
    one = head_file(place)
    one.write(HEAD, KEY, 1, "1" * 64, "chain")
    place.unlink()
    assert not one.is_in_place()
    one.write(HEAD, KEY, 2, "2" * 64, "chain")
    assert head_file(place).read().head.seq == 2  # type: ignore[union-attr]


def test_attack_a_link_in_its_place_is_not_followed(place: Path, tmp_path: Path) -> None:
    place.parent.mkdir()
    (tmp_path / "victim").write_bytes(b"precious")
    place.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError):
        head_file(place).write(HEAD, KEY, 1, "1" * 64, "chain")
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_break_is_one_slot_and_stays(place: Path) -> None:
    one = head_file(place)
    one.write(BREAK, KEY, 7, "7" * 64, "chain")
    for seq in range(8, 12):
        one.write(HEAD, KEY, seq, "a" * 64, "chain")
    assert one.read().broken == Mark(7, "7" * 64, "chain", "boot-1", KEY)


def test_the_kernel_names_each_boot() -> None:
    assert boot_id() == boot_id()
    assert bool(boot_id()) == os.path.exists("/proc/sys/kernel/random/boot_id")  # noqa: PTH110
