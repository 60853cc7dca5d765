"""What was done to the first record that does not fit.

The seals of the records around it tell: who changes a record leaves the next one sealed with
the old seal, who takes one out leaves a gap, who writes without the key fits to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from . import line
from .told import TORN


@dataclass(frozen=True, slots=True)
class Finding:
    """The first broken record: where it stands (line from 1), its number, and what was done.

    ``done`` is one of changed, deleted, inserted, swapped, forged, truncated, replaced,
    unproven, dropped file.
    """

    file: str
    line: int
    seq: int
    done: str
    text: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A line in its file (``number`` from 0), with some of the lines that follow it."""

    file: str
    number: int
    lines: tuple[bytes, ...]


def is_stump(raw: bytes, offset: int, following: Sequence[bytes]) -> bool:
    """Tell whether the record after it names this line as one a killed writer left."""
    if not following or TORN.encode() not in following[0]:
        return False
    told = line.read(following[0])
    return (
        told is not None
        and told.event == TORN
        and told.fields.get("at") == offset
        and told.fields.get("sha256") == sha256(raw).hexdigest()
    )


def name(
    spot: Spot,
    key: bytes,
    previous: str,
    expected: int,
    earlier: Callable[[int], bytes | None] = lambda seq: None,
) -> Finding:
    """Say what was done at a line that is not the record ``expected``.

    ``earlier`` returns the line of a record before it, by its number.
    """
    done, text = _Case(_Seals(key), spot.lines, previous, expected, earlier).name()
    return Finding(spot.file, spot.number + 1, expected, done, text)


class _Seals:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def made(self, previous: str, found: line.Line) -> str:
        return line.seal(self._key, previous, found.sealed)

    def fits(self, raw: bytes, previous: str, seq: int) -> bool:
        found = line.read(raw)
        return found is not None and found.seq == seq and found.mac == self.made(previous, found)


@dataclass(frozen=True, slots=True)
class _Case:
    seals: _Seals
    lines: Sequence[bytes]
    previous: str
    expected: int
    earlier: Callable[[int], bytes | None]

    @property
    def following(self) -> Sequence[bytes]:
        return self.lines[1:]

    def name(self) -> tuple[str, str]:
        found = line.read(self.lines[0])
        if self._expected_follows():
            if found is not None and self._comes_later(found):
                return "swapped", f"record {found.seq} stands before record {self.expected}"
            return "inserted", self._stranger(found)
        if found is None:
            return "changed", "the line is no record any more"
        if found.seq == self.expected:
            return self._rewritten(found)
        if found.seq < self.expected:
            return "inserted", self._stranger(found)
        return self._gap(found)

    def _expected_follows(self) -> bool:
        return any(self.seals.fits(raw, self.previous, self.expected) for raw in self.following)

    def _comes_later(self, found: line.Line) -> bool:
        """Tell whether it is a record of this chain, from further on."""
        previous, seq = self.previous, self.expected
        for raw in self.following:
            if seq == found.seq:
                break
            if self.seals.fits(raw, previous, seq):
                previous, seq = str(line.read(raw).mac), seq + 1  # type: ignore[union-attr]
        return seq == found.seq and found.mac == self.seals.made(previous, found)

    def _stranger(self, found: line.Line | None) -> str:
        """Say what a line is that does not belong where it stands."""
        if found is None:
            return "a line that is no record"
        if found.seq < self.expected:
            if self.earlier(found.seq) == self.lines[0]:
                return f"a copy of record {found.seq}"
            return (
                f"a record that was not written here: it says it is record {found.seq}, "
                f"and record {found.seq} is another"
            )
        return f"a record that was not written here: it says it is record {found.seq}"

    def _gap(self, found: line.Line) -> tuple[str, str]:
        missing = f"records {self.expected} to {found.seq - 1} are missing"
        if not self.following:
            return "deleted", f"{missing}; or this record was not written here"
        if any(map(self._goes_on, self.lines, self.following)):
            return "deleted", missing
        return "inserted", self._stranger(found)

    def _goes_on(self, raw: bytes, following: bytes) -> bool:
        found = line.read(raw)
        return found is not None and self.seals.fits(following, found.mac, found.seq + 1)

    def _rewritten(self, found: line.Line) -> tuple[str, str]:
        if not self.following:
            return "changed", "changed, or written without the key; no record follows"
        before = (found.mac, self.seals.made(self.previous, found))
        if any(self.seals.fits(self.following[0], mac, found.seq + 1) for mac in before):
            return "changed", "its content or its seal was changed"
        return "forged", "from here on it is not sealed with this key"
