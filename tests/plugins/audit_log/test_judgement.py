"""What a log that ends too early comes to: a theft, a power cut, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.audit_log.emitted import CUT, HEAD_LOST, TAIL_LOST, Head, WrongChain

from plugins.audit_log.head_file import HeadFile, Mark, Marks
from plugins.audit_log.judgement import Here, ValidationReport, judge, last_of, lost_with_the_power
from plugins.audit_log.keys import Keys

KEY = b"k" * 32
KEYS = Keys(KEY)
NOTHING = Head(0, "")


def here(seq: int, name: str = "c", *, fresh: bool = False, second: bool = True) -> Here:
    place = HeadFile(Path("unused") if second else None, KEYS, "now")
    return Here(Head(seq, "m", chain=name), name, KEY, fresh, place)


def mark(seq: int, chain: str = "c", boot: str = "now") -> Mark:
    return Mark(seq, "m", chain, boot, KEY)


def event(found: Here, marks: Marks, known: Head = NOTHING) -> str:
    return judge(found, marks, known, KEYS).event


@pytest.mark.parametrize(
    ("found", "marks", "told"),
    [
        (here(5), Marks(there=True, head=mark(5)), ""),
        (here(6), Marks(there=True, head=mark(5)), ""),
        (here(4), Marks(there=True, head=mark(5)), CUT),
        (here(4), Marks(there=True, head=mark(5, boot="before")), TAIL_LOST),
        (here(4), Marks(there=True, head=mark(5, boot="before"), on_disk=mark(4)), TAIL_LOST),
        (here(3), Marks(there=True, head=mark(5, boot="before"), on_disk=mark(4)), CUT),
        (here(4), Marks(there=True, head=mark(5, boot="")), CUT),
        (here(4), Marks(), HEAD_LOST),
        (here(4), Marks(there=True), HEAD_LOST),
        (here(1, fresh=True), Marks(), ""),
        (here(1, fresh=True), Marks(there=True), HEAD_LOST),
        (here(4, ""), Marks(), ""),
        (here(4, second=False), Marks(), ""),
    ],
)
def test_what_is_told(found: Here, marks: Marks, emitted: str) -> None:
    assert event(found, marks) == emitted


def test_what_we_saw_ourselves_counts_where_the_mark_is_gone_or_older() -> None:
    seen = Head(9, "m", chain="c")
    assert event(here(4), Marks(), seen) == CUT
    assert event(here(4), Marks(there=True, head=mark(4)), seen) == CUT
    assert event(here(9), Marks(), seen) == ""
    assert event(here(4), Marks(there=True, head=mark(4)), Head(9, "m", chain="other")) == ""


def test_attack_a_log_of_another_name_is_not_judged_but_refused() -> None:
    with pytest.raises(WrongChain):
        judge(here(9, "other"), Marks(there=True, head=mark(5)), NOTHING, KEYS)
    with pytest.raises(WrongChain):
        judge(here(9, ""), Marks(there=True, head=mark(5)), NOTHING, KEYS)


def test_a_kernel_that_names_no_boot_excuses_nothing() -> None:
    assert not lost_with_the_power(mark(5, boot="before"), None, 4, "")
    assert not lost_with_the_power(mark(5, boot=""), None, 4, "now")
    assert lost_with_the_power(mark(5, boot="before"), None, 4, "now")


def test_a_new_chain_tells_of_the_one_before_it_what_is_known() -> None:
    assert last_of(None) == {}
    assert last_of(mark(7)) == {"chain": "c", "last_seq": 7, "last_mac": "m"}
    assert ValidationReport().emitted == {}
