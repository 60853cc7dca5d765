"""Classifies tampering: what was done to the first invalid record, and why a tail is missing.

The MACs of the records around it show it: a changed record leaves the next one chained to the
old MAC, a deleted one leaves a gap, a forged one matches nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from . import codec
from .chain_types import HEAD_LOST, TAIL_LOST, TORN, TRUNCATED, Head, WrongChain
from .head_file import HeadFile, Mark, Marks
from .keyring import Keyring


@dataclass(frozen=True, slots=True)
class Finding:
    """The first broken record: its file and line (from 1), its number, and the kind.

    ``kind`` is one of changed, deleted, inserted, swapped, forged, truncated, replaced,
    unproven, dropped file.
    """

    file: str
    line: int
    seq: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Position:
    """A line in its file (``number`` from 0), with some of the lines that follow it."""

    file: str
    number: int
    lines: tuple[bytes, ...]


def is_torn_line(raw: bytes, offset: int, following: Sequence[bytes]) -> bool:
    """Return whether the next record names this line as one that a killed writer left."""
    if not following or TORN.encode() not in following[0]:
        return False
    told = codec.read(following[0])
    return (
        told is not None
        and told.event == TORN
        and told.fields.get("at") == offset
        and told.fields.get("sha256") == sha256(raw).hexdigest()
    )


def classify(
    spot: Position,
    key: bytes,
    previous: str,
    expected: int,
    earlier: Callable[[int], bytes | None] = lambda seq: None,
) -> Finding:
    """Classify a line that is not the record ``expected``.

    ``earlier`` returns the line of a record before it, by its number.
    """
    kind, text = _TamperCase(_SealCheck(key), spot.lines, previous, expected, earlier).classify()
    return Finding(spot.file, spot.number + 1, expected, kind, text)


class _SealCheck:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def made(self, previous: str, found: codec.Line) -> str:
        return codec.seal(self._key, previous, found.sealed)

    def fits(self, raw: bytes, previous: str, seq: int) -> bool:
        found = codec.read(raw)
        return found is not None and found.seq == seq and found.mac == self.made(previous, found)


@dataclass(frozen=True, slots=True)
class _TamperCase:
    seals: _SealCheck
    lines: Sequence[bytes]
    previous: str
    expected: int
    earlier: Callable[[int], bytes | None]

    @property
    def following(self) -> Sequence[bytes]:
        return self.lines[1:]

    def classify(self) -> tuple[str, str]:
        found = codec.read(self.lines[0])
        if self._expected_follows():
            if found is not None and self._comes_later(found):
                return "swapped", (f"record {found.seq} is in front of record {self.expected}")
            return "inserted", self._describe_foreign(found)
        if found is None:
            return "changed", "the line is not a record any more"
        if found.seq == self.expected:
            return self._rewritten(found)
        if found.seq < self.expected:
            return "inserted", self._describe_foreign(found)
        return self._gap(found)

    def _expected_follows(self) -> bool:
        return any(self.seals.fits(raw, self.previous, self.expected) for raw in self.following)

    def _comes_later(self, found: codec.Line) -> bool:
        """Return whether it is a record of this chain, from further on."""
        previous, seq = self.previous, self.expected
        for raw in self.following:
            if seq == found.seq:
                break
            if self.seals.fits(raw, previous, seq):
                previous, seq = str(codec.read(raw).mac), seq + 1  # type: ignore[union-attr]
        return seq == found.seq and found.mac == self.seals.made(previous, found)

    def _describe_foreign(self, found: codec.Line | None) -> str:
        """Describe a line that does not belong in its position."""
        if found is None:
            return "a line that is not a record"
        if found.seq < self.expected:
            if self.earlier(found.seq) == self.lines[0]:
                return f"a copy of record {found.seq}"
            return (
                f"a foreign record: it has the number {found.seq}, but record {found.seq} "
                "is a different one"
            )
        return f"a foreign record with the number {found.seq}"

    def _gap(self, found: codec.Line) -> tuple[str, str]:
        missing = f"records {self.expected} to {found.seq - 1} are missing"
        if not self.following:
            return "deleted", f"{missing}; or this is a foreign record"
        if any(map(self._continues, self.lines, self.following)):
            return "deleted", missing
        return "inserted", self._describe_foreign(found)

    def _continues(self, raw: bytes, following: bytes) -> bool:
        found = codec.read(raw)
        return found is not None and self.seals.fits(following, found.mac, found.seq + 1)

    def _rewritten(self, found: codec.Line) -> tuple[str, str]:
        if not self.following:
            return "changed", "changed, or written without the key; no record follows"
        before = (found.mac, self.seals.made(self.previous, found))
        if any(self.seals.fits(self.following[0], mac, found.seq + 1) for mac in before):
            return "changed", "its content or its MAC was changed"
        return "forged", "from here on, records are not authenticated with this key"


@dataclass(frozen=True, slots=True)
class FoundLog:
    """The log as it was found: its last record, its chain's name and key, and its head file.

    Records of our own about a torn tail or a new segment do not count: they reuse the numbers
    of the missing ones. ``fresh``: there was no segment before we created one.
    """

    head: Head
    name: str
    key: bytes
    fresh: bool
    head_file: HeadFile


@dataclass(frozen=True, slots=True)
class Loss:
    """The event and fields to record about missing records; no ``event`` where none are."""

    event: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)


def find_loss(here: FoundLog, marks: Marks, known: Head, keys: Keyring) -> Loss:
    """Return which records are missing. ``known`` is the last record this process has seen.

    Raises WrongChain where the log is not the one that was marked.
    """
    last = trusted_mark(marks.head, here.key, keys)
    if last is not None and last.chain != here.name:
        raise WrongChain(f"the log belongs to the chain {here.name or 'without a name'}")
    if known.chain == here.name and known.seq > (last.seq if last is not None else 0):
        last = Mark(known.seq, known.mac, known.chain, here.head_file.boot)
    if last is None:
        gone = here.head_file.exists and (marks.exists or (not here.fresh and bool(here.name)))
        return Loss(HEAD_LOST) if gone else Loss()
    if last.seq <= here.head.seq:
        return Loss()
    told = {"known_seq": last.seq, "known_mac": last.mac}
    on_disk = trusted_mark(marks.on_disk, here.key, keys)
    lost = lost_in_power_cut(last, on_disk, here.head.seq, here.head_file.boot)
    return Loss(TAIL_LOST if lost else TRUNCATED, told)


def trusted_mark(mark: Mark | None, key: bytes, keys: Keyring) -> Mark | None:
    """Return a mark unless its key is older than the key of the log.

    Whoever has got hold of a former key must not name the head of its successor's part.
    """
    return None if mark is None or keys.runs_before(mark.key, key) else mark


def lost_in_power_cut(last: Mark, on_disk: Mark | None, found: int, boot: str) -> bool:
    """Return whether a log that ends at record ``found`` may have lost the rest with the power.

    So it may where the machine has been started since ``last`` was marked, and nothing is gone
    that was known to be on the disk.
    """
    rebooted = bool(last.boot) and bool(boot) and last.boot != boot
    return rebooted and found >= (on_disk.seq if on_disk is not None else 0)


def previous_chain(mark: Mark | None) -> dict[str, Any]:
    """Return what the first record of a new chain tells of the one before it."""
    if mark is None:
        return {}
    return {"chain": mark.chain, "last_seq": mark.seq, "last_mac": mark.mac}
