"""Whether a log that was just opened is all there, by what its second place and we know of it.

Pure: what is to be done about it is the chain's. Knows no Flask and no SecureML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .head_file import HeadFile, Mark, Marks
from .keys import Keys
from .told import CUT, HEAD_LOST, TAIL_LOST, Head, WrongChain


@dataclass(frozen=True, slots=True)
class Here:
    """The log as it was found: its last record, its chain's name and key, and its second place.

    What we have told in it ourselves since, of an unfinished line or a file that begins, does
    not count: it takes the number of what is gone.

    ``fresh`` tells that there was no file before we made one.
    """

    head: Head
    name: str
    key: bytes
    fresh: bool
    second: HeadFile


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What is to be told in the chain; no ``event`` where all is there."""

    event: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)


def judge(here: Here, marks: Marks, known: Head, keys: Keys) -> ValidationReport:
    """Return what is gone. ``known`` is the last record this process has seen itself.

    Raises WrongChain where the log is not the one that was marked.
    """
    last = believed(marks.head, here.key, keys)
    if last is not None and last.chain != here.name:
        raise WrongChain(f"the log is of the chain {here.name or 'without a name'}")
    if known.chain == here.name and known.seq > (last.seq if last is not None else 0):
        last = Mark(known.seq, known.mac, known.chain, here.second.boot)
    if last is None:
        gone = here.second.exists and (marks.there or (not here.fresh and bool(here.name)))
        return ValidationReport(HEAD_LOST) if gone else ValidationReport()
    if last.seq <= here.head.seq:
        return ValidationReport()
    told = {"known_seq": last.seq, "known_mac": last.mac}
    on_disk = believed(marks.on_disk, here.key, keys)
    lost = lost_with_the_power(last, on_disk, here.head.seq, here.second.boot)
    return ValidationReport(TAIL_LOST if lost else CUT, told)


def believed(mark: Mark | None, key: bytes, keys: Keys) -> Mark | None:
    """Return a mark unless it was sealed with a key from before the log's.

    Whoever has got hold of a former key must not name the head of its successor's part.
    """
    return None if mark is None or keys.runs_before(mark.key, key) else mark


def lost_with_the_power(last: Mark, on_disk: Mark | None, found: int, boot: str) -> bool:
    """Tell whether a log that ends at record ``found`` may have lost the rest with the power.

    So it may where the machine has been started since ``last`` was marked, and nothing is gone
    that was known to be on the disk.
    """
    rebooted = bool(last.boot) and bool(boot) and last.boot != boot
    return rebooted and found >= (on_disk.seq if on_disk is not None else 0)


def last_of(mark: Mark | None) -> dict[str, Any]:
    """Return what the first record of a new chain tells of the one before it."""
    if mark is None:
        return {}
    return {"chain": mark.chain, "last_seq": mark.seq, "last_mac": mark.mac}
