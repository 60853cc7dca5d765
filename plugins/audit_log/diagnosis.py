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

    def finding(done: str, text: str) -> Finding:
        return Finding(spot.file, spot.number + 1, expected, done, text)

    def fits(raw: bytes, before: str, seq: int) -> bool:
        found = line.read(raw)
        return (
            found is not None
            and found.seq == seq
            and found.mac == line.seal(key, before, found.sealed)
        )

    found, following = line.read(spot.lines[0]), spot.lines[1:]
    if following and fits(following[0], previous, expected):
        if found is not None and found.seq == expected + 1:
            return finding("swapped", f"record {found.seq} stands before record {expected}")
        return finding("inserted", "a line that does not belong here; the next one does")
    if found is None:
        return finding("changed", "the line is no record any more")
    if found.seq > expected:
        if any(fits(raw, previous, expected) for raw in following):
            return finding("swapped", f"record {expected} stands further down")
        last = found.seq - 1
        return finding("deleted", f"records {expected} to {last} are missing")
    if found.seq < expected:
        return finding("inserted", f"a copy of record {found.seq}")
    true = line.seal(key, previous, found.sealed)
    if following and any(fits(following[0], mac, expected + 1) for mac in (found.mac, true)):
        return finding("changed", "its content or its seal was changed")
    if not following:
        return finding("changed", "changed, or written without the key; no record follows")
    return finding("forged", "from here on it is not sealed with this key")
