"""A stump is believed only where the record after it names it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from plugins.audit_log import codec
from plugins.audit_log.chain_types import HEAD_LOST, TAIL_LOST, TRUNCATED, Head, WrongChain
from plugins.audit_log.head_file import HeadFile, Mark, Marks
from plugins.audit_log.keyring import Keyring
from plugins.audit_log.tampering import (
    FoundLog,
    Loss,
    Position,
    classify,
    find_loss,
    is_torn_line,
    lost_in_power_cut,
    previous_chain,
)

KEY = b"k" * 32


def torn(at: int, torn_tail: bytes, event: str = "audit_line_torn") -> bytes:
    emitted = {"event": event, "at": at, "sha256": sha256(torn_tail).hexdigest()}
    return codec.write(KEY, codec.GENESIS, 1, "t", codec.encode(emitted))[0][:-1]


def test_the_stump_that_is_named_is_one() -> None:
    assert is_torn_line(b'{"se', 40, [torn(40, b'{"se')])


@pytest.mark.parametrize(
    "following",
    [[], [b"noise audit_line_torn"], [torn(41, b'{"se')], [torn(40, b"other")],
     [torn(40, b'{"se', "audit_line_torn_not")]],
)  # fmt: skip
def test_a_stump_nobody_names_is_none(following: list[bytes]) -> None:
    assert not is_torn_line(b'{"se', 40, following)


def test_a_last_line_that_does_not_fit_is_called_changed() -> None:
    raw = codec.write(b"x" * 32, codec.GENESIS, 1, "t", '"event":"a_b"')[0][:-1]
    found = classify(Position("file", 0, (raw,)), KEY, codec.GENESIS, 1)
    assert (found.kind, found.line, found.seq) == ("changed", 1, 1)


KEY = b"k" * 32
KEYRING = Keyring(KEY)
NOTHING = Head(0, "")


def here(seq: int, name: str = "c", *, fresh: bool = False, head_file: bool = True) -> FoundLog:
    place = HeadFile(Path("unused") if head_file else None, KEYRING, "now")
    return FoundLog(Head(seq, "m", chain=name), name, KEY, fresh, place)


def mark(seq: int, chain: str = "c", boot: str = "now") -> Mark:
    return Mark(seq, "m", chain, boot, KEY)


def event(found: FoundLog, marks: Marks, known: Head = NOTHING) -> str:
    return find_loss(found, marks, known, KEYRING).event


@pytest.mark.parametrize(
    ("found", "marks", "message"),
    [
        (here(5), Marks(exists=True, head=mark(5)), ""),
        (here(6), Marks(exists=True, head=mark(5)), ""),
        (here(4), Marks(exists=True, head=mark(5)), TRUNCATED),
        (here(4), Marks(exists=True, head=mark(5, boot="before")), TAIL_LOST),
        (here(4), Marks(exists=True, head=mark(5, boot="before"), on_disk=mark(4)), TAIL_LOST),
        (here(3), Marks(exists=True, head=mark(5, boot="before"), on_disk=mark(4)), TRUNCATED),
        (here(4), Marks(exists=True, head=mark(5, boot="")), TRUNCATED),
        (here(4), Marks(), HEAD_LOST),
        (here(4), Marks(exists=True), HEAD_LOST),
        (here(1, fresh=True), Marks(), ""),
        (here(1, fresh=True), Marks(exists=True), HEAD_LOST),
        (here(4, ""), Marks(), ""),
        (here(4, head_file=False), Marks(), ""),
    ],
)
def test_what_is_told(found: FoundLog, marks: Marks, message: str) -> None:
    assert event(found, marks) == message


def test_what_we_saw_ourselves_counts_where_the_mark_is_gone_or_older() -> None:
    seen = Head(9, "m", chain="c")
    assert event(here(4), Marks(), seen) == TRUNCATED
    assert event(here(4), Marks(exists=True, head=mark(4)), seen) == TRUNCATED
    assert event(here(9), Marks(), seen) == ""
    assert event(here(4), Marks(exists=True, head=mark(4)), Head(9, "m", chain="other")) == ""


def test_attack_a_log_of_another_name_is_not_judged_but_refused() -> None:
    with pytest.raises(WrongChain):
        find_loss(here(9, "other"), Marks(exists=True, head=mark(5)), NOTHING, KEYRING)
    with pytest.raises(WrongChain):
        find_loss(here(9, ""), Marks(exists=True, head=mark(5)), NOTHING, KEYRING)


def test_a_kernel_that_names_no_boot_excuses_nothing() -> None:
    assert not lost_in_power_cut(mark(5, boot="before"), None, 4, "")
    assert not lost_in_power_cut(mark(5, boot=""), None, 4, "now")
    assert lost_in_power_cut(mark(5, boot="before"), None, 4, "now")


def test_a_new_chain_tells_of_the_one_before_it_what_is_known() -> None:
    assert previous_chain(None) == {}
    assert previous_chain(mark(7)) == {"chain": "c", "last_seq": 7, "last_mac": "m"}
    assert Loss().told == {}
