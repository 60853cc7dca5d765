"""Verification: walk every file, and name the first record that is not as it was written.

Guarantees: a chain that passes is what writers with this key wrote, from the first record that
was kept to the last, and agrees with the checkpoint and with the head that are given. Without
either, records taken off the end cannot be missed by anyone. Knows no Flask and no SecureML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from . import codec, tampering
from .chain_types import CLOSED, HEAD_LOST, OPENED, TAIL_LOST, TRUNCATED, WrongKey
from .checkpoint import Checkpoint
from .head_file import Marks
from .keyring import Keyring
from .segments import files, first_of
from .tampering import Finding, Position, lost_in_power_cut, trusted_mark

PRUNED = "audit_pruned"


@dataclass
class Report:
    """What a walk found; ``finding`` is None where nothing is broken."""

    records: int = 0
    files: int = 0
    first: int = 0
    last: int = 0
    chain: str = ""
    finding: Finding | None = None
    notes: list[str] = field(default_factory=list)


class _Broken(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.kind)
        self.finding = finding


def verify(
    folder: Path,
    key: bytes,
    checkpoint: Checkpoint | None = None,
    former: Sequence[bytes] = (),
    head_file: tuple[Marks, str] | None = None,
) -> Report:
    """Return what is found. Raises WrongKey when the chain was begun with another, OSError.

    ``former`` are the keys that sealed before ``key``, the oldest first. ``second`` is what the
    second place says of the chain, read before this is called, and the boot it was read in; None
    where that place is not to be asked.
    """
    walk = _Walk(Keyring(key, former), checkpoint, head_file)
    try:
        for path in files(folder):
            walk.file(path)
        walk.end()
    except _Broken as broken:
        walk.report.finding = broken.finding
    return walk.report


def _opens(first: codec.Line | None) -> TypeGuard[codec.Line]:
    return first is not None and first.event == OPENED


class _Walk:
    def __init__(
        self, keys: Keyring, checkpoint: Checkpoint | None, head_file: tuple[Marks, str] | None
    ) -> None:
        self._keyring, self._key, self._checkpoint = keys, keys.current, checkpoint
        self._head_path = head_file
        self._seal = keys.current  # made from the key and the chain's name
        self._previous, self._event, self._kept = codec.GENESIS, "", 1
        self._paths: list[Path] = []  # walked through
        self.report = Report()

    def file(self, path: Path) -> None:
        """Walk one file; the files come in order."""
        lines = path.read_bytes().split(b"\n")
        unfinished = lines.pop()
        self._paths.append(path)
        self._enter(path, lines)
        offset = 0
        for number, raw in enumerate(lines):
            if tampering.is_torn_line(raw, offset, lines[number + 1 : number + 2]):
                self.report.notes.append(f"{path.name}: line {number + 1} is incomplete")
            else:
                self._line(Position(path.name, number, tuple(lines[number : number + 66])))
            offset += len(raw) + 1
        if unfinished:
            self.report.notes.append(f"{path.name}: the last line is incomplete")
        self.report.files += 1

    def _enter(self, path: Path, lines: list[bytes]) -> None:
        first = codec.read(lines[0]) if lines else None
        report, begins = self.report, first_of(path)
        key = self._keyring.named(first.fields.get("key")) if _opens(first) else None
        if report.files == 0:
            report.first, report.last = begins, begins - 1
            if _opens(first):
                if key is None:
                    raise WrongKey(f"{path.name} was started with another key")
                if begins > 1:
                    self._previous = str(first.fields.get("previous"))
        elif begins > report.last + 1:
            missing = f"records {report.last + 1} to {begins - 1} are missing"
            kind = "dropped file" if self._event == CLOSED else "deleted"
            raise _Broken(Finding(path.name, 1, report.last + 1, kind, missing))
        elif key is not None and self._keyring.runs_before(key, self._key):
            text = "started with an earlier key than the previous file"
            raise _Broken(Finding(path.name, 1, begins, "forged", text))
        self._key = key or self._key
        if _opens(first):
            self._name(path, str(first.fields.get("chain", "")))

    def _name(self, path: Path, chain: str) -> None:
        """Take the chain's name from a file; its MACs are made with that name."""
        report = self.report
        if chain != report.chain and (report.files and (report.chain or not chain)):
            text = f"the file belongs to another chain ({chain or 'without a name'})"
            raise _Broken(Finding(path.name, 1, report.last + 1, "replaced", text))
        report.chain = chain
        self._seal = codec.bind(self._key, chain)

    def _line(self, spot: Position) -> None:
        report = self.report
        found = codec.read(spot.lines[0])
        expected = report.last + 1
        if (
            found is None
            or found.seq != expected
            or found.mac != codec.seal(self._seal, self._previous, found.sealed)
        ):
            raise _Broken(
                tampering.classify(spot, self._seal, self._previous, expected, self._earlier)
            )
        self._check_chain_event(spot, found)
        self._compare(spot, found)
        self._previous, self._event = found.mac, found.event
        report.last, report.records = expected, report.records + 1

    def _check_chain_event(self, spot: Position, found: codec.Line) -> None:
        """Evaluate a record about the chain itself."""
        known = found.fields.get("known_seq")
        if found.event == TRUNCATED:
            text = f"record {known} was written, but was missing at the next write"
            raise _Broken(Finding(spot.file, spot.number + 1, found.seq, "truncated", text))
        if found.event == HEAD_LOST:
            text = "the head file had no head: records before this one may be missing"
            raise _Broken(Finding(spot.file, spot.number + 1, found.seq, "unproven", text))
        if found.event == TAIL_LOST:
            self.report.notes.append(
                f"records {found.seq} to {known} were lost when the machine stopped: they "
                "were not on disk yet"
            )
        if found.event == PRUNED:
            facts = found.fields.get("facts") or {}
            self._kept = max(self._kept, int(facts.get("first_kept", 0)))

    def _compare(self, spot: Position, found: codec.Line) -> None:
        where = (spot.file, spot.number + 1, found.seq, "replaced")
        point = self._checkpoint
        if point is not None and point.seq == found.seq and point.mac != found.mac:
            text = f"another record {point.seq} was signed at {point.time}"
            raise _Broken(Finding(*where, text))
        head = self._head_path[0].head if self._head_path is not None else None
        if head is not None and head.seq == found.seq and head.mac != found.mac:
            raise _Broken(Finding(*where, f"another record {head.seq} was written last"))

    def _earlier(self, seq: int) -> bytes | None:
        """Return the line of a record that was walked through."""
        for path in reversed(self._paths):
            if first_of(path) <= seq:
                for raw in path.read_bytes().split(b"\n"):
                    found = codec.read(raw)
                    if found is not None and found.seq == seq:
                        return raw
        return None

    def end(self) -> None:
        """Check the whole chain: are all records there?"""
        report, point = self.report, self._checkpoint
        if report.files and report.first > self._kept:
            text = f"records {self._kept} to {report.first - 1} are missing and were not pruned"
            raise _Broken(Finding("", 0, self._kept, "dropped file", text))
        if report.files and self._key != self._keyring.current:
            # Whoever has that key could have taken off what its successor sealed.
            report.notes.append("the chain uses a former key until the server is restarted")
        if self._head_path is not None:
            self._compare_head(*self._head_path)
        if point is None:
            return
        if point.chain and report.chain and point.chain != report.chain:
            text = f"another chain was signed at {point.time}, up to record {point.seq}"
            raise _Broken(Finding("", 0, report.first, "replaced", text))
        if point.seq > report.last:
            text = (
                f"records up to {point.seq} were signed at {point.time}: this is an "
                "older copy, or its end was removed"
            )
            raise _Broken(Finding("", 0, report.last + 1, "truncated", text))

    def _compare_head(self, marks: Marks, boot: str) -> None:
        """Hold the end of the log against the head that is kept elsewhere."""
        report, head = self.report, trusted_mark(marks.head, self._key, self._keyring)
        if head is None:
            if marks.exists or (report.files and report.chain):
                text = "the head file has no head of this chain: its end may have been removed"
                raise _Broken(Finding("", 0, report.last + 1, "unproven", text))
            return
        if report.files and report.chain and head.chain != report.chain:
            text = f"this is the chain {report.chain}; the one that was written is {head.chain}"
            raise _Broken(Finding("", 0, report.first, "replaced", text))
        if head.seq <= report.last:
            return
        if lost_in_power_cut(head, marks.on_disk, report.last, boot):
            report.notes.append(
                f"records {report.last + 1} to {head.seq} are missing: the machine "
                "stopped before they were on disk"
            )
            return
        text = (
            f"record {head.seq} was written and is missing: this is an older copy, or "
            "its end was removed"
        )
        raise _Broken(Finding("", 0, report.last + 1, "truncated", text))
