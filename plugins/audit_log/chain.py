"""The chain: many processes append to it, and it stays one.

Guarantees: records are numbered without a gap in the order they are written; each is sealed
together with the one before it; `Chain.append` returns only after the record has left this
process, so a killed worker takes nothing along; a record that cannot be written raises and
leaves no trace. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import folder as place
from . import line
from .keys import Keys
from .sync import Sync
from .turns import ChainBusy as ChainBusy  # noqa: PLC0414 - it is raised here
from .turns import Turns

OPENED, CLOSED, TORN, CUT = (
    "audit_file_opened",
    "audit_file_closed",
    "audit_line_torn",
    "audit_chain_cut",
)


class WrongKey(RuntimeError):
    """The chain that is there goes on with a key that is not ours."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last record: its number, its seal and what it tells."""

    seq: int
    mac: str
    event: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """``rotate`` is the size of a file in bytes, ``deadline`` the wait for others in seconds."""

    rotate: int = 64 * 1024 * 1024
    deadline: float = 2.0
    fsync: str = "interval"


_START = Head(0, line.GENESIS)
_UNKNOWN = 0  # no file of ours is as small: its end is read again


class Chain:
    """Appends records; opened by the first of them, in the process that writes it.

    ``now`` returns seconds since the epoch. A chain of a ``former`` key goes on with it until
    `renew`: a server that does not know the new one yet may be writing.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        now: Callable[[], float],
        terms: Terms | None = None,
        former: Sequence[bytes] = (),
    ) -> None:
        self._folder, self._now = folder, now
        self._keys, self._key = Keys(key, former), key  # `_key` seals the file at hand
        self._terms = terms or Terms()
        self._sync = Sync(self._terms.fsync)
        self._turns = Turns(folder, self._terms.deadline, self._release)
        self._file = -1
        self._path = ""
        self._inode, self._size, self._head = 0, 0, _START  # known last

    def append(self, fields: Mapping[str, Any]) -> Head:
        """Write one record; return its number and seal.

        Raises OSError when it cannot be written (`ChainBusy` after the deadline), ValueError
        for what is no JSON or too long, `WrongKey` beside a chain of another key.
        """
        members = line.encode(fields)
        with self._turns.turn():
            self._catch_up()
            if self._size >= self._terms.rotate:
                self._rotate()
            head = self._write(members, str(fields.get("event", "")))
            handle = self._file
        # Beyond the lock: others write on while the disk is at it.
        self._sync.after(handle)
        return head

    def head(self) -> Head:
        """Return the last record that is written."""
        with self._turns.turn():
            self._catch_up()
            return self._head

    def renew(self) -> bool:
        """Go on with the current key where a former one has sealed so far; tell whether it did.

        Raises as ``append`` does.
        """
        with self._turns.turn():
            self._catch_up()
            if self._key == self._keys.current:
                return False
            told = {"event": CLOSED, "next_key": line.key_id(self._keys.current)}
            self._write(line.encode(told), CLOSED)
            self._key = self._keys.current
            self._begin()
            return True

    def close(self) -> None:
        """Release the files; a later record opens them again."""
        self._turns.close(self._sync.close)

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    # -- knowing the last record, under the lock ---------------------------------------------

    def _catch_up(self) -> None:
        """Know what others wrote; where nobody did, that is one look at the file."""
        size = self._grown_to()
        if size == self._size:
            if self._head.event == CLOSED:
                self._follow()  # the last attempt found no room for the next file, or no key
            return
        if size > self._size:
            self._follow()
            return
        known = self._head
        try:
            self._open(place.files(self._folder))
            self._tell_cut(known)
        except OSError:
            self._head, self._size = known, _UNKNOWN
            raise

    def _grown_to(self) -> int:
        """Return the size of the file we know, -1 when it is not there any more."""
        if self._file < 0:
            return -1
        try:
            found = os.stat(self._path)  # noqa: PTH116 - for every record, half of Path.stat
        except FileNotFoundError:
            return -1
        return found.st_size if found.st_ino == self._inode else -1

    def _follow(self) -> None:
        self._learn()
        while self._head.event == CLOSED:
            path = self._folder / place.name_of(self._head.seq + 1)
            if not path.exists():
                self._begin()
                return
            self._use(path)
            self._learn()

    def _open(self, files: list[Path]) -> None:
        self._head = _START
        if not files:
            self._key = self._keys.current
            self._begin()
            return
        self._use(files[-1])
        self._follow()

    def _use(self, path: Path) -> None:
        opened = place.open_file(path)
        first = line.read(os.pread(opened, line.LIMIT, 0).partition(b"\n")[0])
        key = self._key if first is None else self._keys.named(first.fields.get("key"))
        if key is None:
            os.close(opened)
            raise WrongKey(f"{path.name} was begun with another key")
        self._key = key
        if self._file >= 0:
            self._sync.after(self._file, last=True)
            os.close(self._file)
        self._file, self._path = opened, str(path)
        self._size = _UNKNOWN
        self._inode = os.fstat(opened).st_ino

    def _learn(self) -> None:
        """Read the last record from the end of the file; close what a killed writer left."""
        end = place.read_end(self._file, os.fstat(self._file).st_size)
        if end.last is not None:
            self._head = Head(end.last.seq, end.last.mac, end.last.event)
        self._size = end.size
        if end.stump:
            told = {
                "event": TORN,
                "at": end.size - len(end.stump),
                "bytes": len(end.stump),
                "sha256": sha256(end.stump).hexdigest(),
            }
            try:
                self._write(line.encode(told), TORN, before=b"\n")
            except OSError:
                self._size = _UNKNOWN
                raise

    def _tell_cut(self, known: Head) -> None:
        # We wrote or saw this record, and it is not there any more.
        if known.seq > self._head.seq:
            told = {"event": CUT, "known_seq": known.seq, "known_mac": known.mac}
            self._write(line.encode(told), CUT)

    # -- writing, under the lock -------------------------------------------------------------

    def _write(self, members: str, event: str, before: bytes = b"") -> Head:
        seq = self._head.seq + 1
        content, mac = line.write(
            self._key, self._head.mac, seq, line.rfc3339(self._now()), members
        )
        content = before + content
        try:
            written = os.write(self._file, content)
        except OSError:
            self._undo()
            raise
        if written != len(content):
            # A disk that filled up in mid-line.
            self._undo()
            raise OSError(f"only {written} of {len(content)} bytes were written")
        self._size += written
        self._head = Head(seq, mac, event)
        return self._head

    def _undo(self) -> None:
        """Take back a part of a line; where only appending is allowed, the next writer tells."""
        try:
            if os.fstat(self._file).st_size > self._size:
                os.ftruncate(self._file, self._size)
        except OSError:
            self._size = _UNKNOWN

    def _rotate(self) -> None:
        self._write(line.encode({"event": CLOSED}), CLOSED)
        self._begin()

    def _begin(self) -> None:
        """Begin the next file with a record that carries the head over."""
        seq = self._head.seq + 1
        told = {"event": OPENED, "key": line.key_id(self._key), "previous": self._head.mac}
        content, mac = line.write(
            self._key, self._head.mac, seq, line.rfc3339(self._now()), line.encode(told)
        )
        self._use(place.create(self._folder, seq, content))
        self._size, self._head = len(content), Head(seq, mac, OPENED)
