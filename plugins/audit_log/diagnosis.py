"""What was done to the first record that does not fit.

The seals of the records around it tell: who changes a record leaves the next one sealed with
the old seal, who takes one out leaves a gap, who writes without the key fits to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from . import line
from .chain import TORN


@dataclass(frozen=True, slots=True)
class Finding:
    """The first broken record: where it stands (line from 1), its number, and what was done.

    ``done`` is one of changed, deleted, inserted, swapped, forged, truncated, replaced,
    dropped file.
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


def name(spot: Spot, key: bytes, previous: str, expected: int) -> Finding:
    """Say what was done at a line that is not the record ``expected``."""
    done, text = _name(_Seals(key), spot.lines, previous, expected)
    return Finding(spot.file, spot.number + 1, expected, done, text)


class _Seals:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def made(self, previous: str, found: line.Line) -> str:
        return line.seal(self._key, previous, found.sealed)

    def fits(self, raw: bytes, previous: str, seq: int) -> bool:
        found = line.read(raw)
        return found is not None and found.seq == seq and found.mac == self.made(previous, found)


def _name(seals: _Seals, lines: Sequence[bytes], previous: str, expected: int) -> tuple[str, str]:
    found, following = line.read(lines[0]), lines[1:]
    if following and seals.fits(following[0], previous, expected):
        if found is not None and found.seq == expected + 1:
            return "swapped", f"record {found.seq} stands before record {expected}"
        return "inserted", "a line that does not belong here; the next one does"
    if found is None:
        return "changed", "the line is no record any more"
    if found.seq == expected:
        return _rewritten(seals, found, following, previous)
    return _misplaced(seals, found, following, previous, expected)


def _misplaced(
    seals: _Seals, found: line.Line, following: Sequence[bytes], previous: str, expected: int
) -> tuple[str, str]:
    if found.seq < expected:
        return "inserted", f"a copy of record {found.seq}"
    if any(seals.fits(raw, previous, expected) for raw in following):
        return "swapped", f"record {expected} stands further down"
    return "deleted", f"records {expected} to {found.seq - 1} are missing"


def _rewritten(
    seals: _Seals, found: line.Line, following: Sequence[bytes], previous: str
) -> tuple[str, str]:
    if not following:
        return "changed", "changed, or written without the key; no record follows"
    before = (found.mac, seals.made(previous, found))
    if any(seals.fits(following[0], mac, found.seq + 1) for mac in before):
        return "changed", "its content or its seal was changed"
    return "forged", "from here on it is not sealed with this key"
