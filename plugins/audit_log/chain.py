"""The chain: many processes append to it, and it stays one.

Guarantees: records are numbered without a gap in the order they are written; each is sealed
together with the one before it; `Chain.append` returns only after the record has left this
process, so a killed worker takes nothing along; a record that cannot be written raises and
leaves no trace. The last record is known in a second place (`head_file`) as well: a log that ends
before it is told of in the chain, and goes on. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import folder as place
from . import line
from .head_file import BREAK, DISK, HEAD, HeadFile, Marks, boot_id
from .judgement import Here, judge, last_of
from .keys import Keys
from .log_file import UNKNOWN, LogFile, first_line
from .sync import Sync
from .told import (
    BEGUN,
    BROKEN,
    CLOSED,
    CUT,
    OPENED,
    TAIL_LOST,
    TORN,
    Head,
    Terms,
    WrongChain,
    WrongKey,
)
from .turns import ChainBusy as ChainBusy  # noqa: PLC0414 - it is raised here
from .turns import Turns

log = logging.getLogger("secureml.audit_log")

_START = Head(0, line.GENESIS)


class Chain:
    """Appends records; opened by the first of them, in the process that writes it.

    ``now`` returns seconds since the epoch. A chain of a ``former`` key goes on with it until
    `renew`: a server that does not know the new one yet may be writing. ``second`` is the file
    in which the head is kept beside the log; ``new_name`` makes the name of a new chain.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        now: Callable[[], float],
        terms: Terms | None = None,
        former: Sequence[bytes] = (),
        second: Path | None = None,
        new_name: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._folder, self._now, self._new_name = folder, now, new_name
        self._keys, self._key = Keys(key, former), key  # `_key` is that of the file at hand
        self._name, self._seal = "", key  # the chain's, and what seals its records
        self._terms = terms or Terms()
        self._marks = HeadFile(second, self._keys, boot_id())
        self._opening = False
        self._sync = Sync(self._terms.fsync, self._on_disk)
        self._turns = Turns(folder, self._terms.deadline, self._release)
        # The last record, and the last there was before we told of anything ourselves.
        self._file, self._head, self._found = LogFile(), _START, _START

    def append(self, fields: Mapping[str, Any]) -> Head:
        """Write one record; return its number and seal.

        Raises OSError when it cannot be written (`ChainBusy` after the deadline), ValueError
        for what is no JSON or too long, `WrongKey` beside a chain of another key.
        """
        members = line.encode(fields)
        with self._turns.turn():
            self._catch_up()
            if self._file.size >= self._terms.rotate:
                self._tell(CLOSED, {})
                self._begin()
            head = self._write(members, str(fields.get("event", "")))
            handle = self._file.handle
        # Beyond the lock: others write on while the disk is at it.
        self._sync.after(handle, head=head)
        return head

    def head(self) -> Head:
        """Return the last record."""
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
            self._tell(CLOSED, {"next_key": line.key_id(self._keys.current)})
            self._key = self._keys.current
            # Before its file is there: beside that, a mark of a former key is not believed.
            self._mark(HEAD, self._head)
            self._begin()
            return True

    def start_new(self, reason: str) -> Head:
        """Set the files aside, whole, and begin a chain of another name that tells of this one.

        Returns its last record. Raises as ``append`` does.
        """
        with self._turns.turn():
            last = self._marks.read().head
            aside = place.set_aside(self._folder, self._time())
            self._marks.remove()
            self._release()
            self._open([], Marks())
            return self._tell(
                BEGUN, {"facts": {"reason": reason, "set_aside": aside, **last_of(last)}}
            )

    def force(self) -> Head:
        """See that all that is written is on the disk; return the last record of it."""
        with self._turns.turn():
            self._catch_up()
            head, handle = self._head, os.dup(self._file.handle)
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)
        return head

    def marks(self) -> Marks:
        """Return what the second place says; all of it empty where there is none."""
        with self._turns.turn():
            return self._marks.read()

    def close(self) -> None:
        """Release the files; a later record opens them again."""
        self._turns.close(self._sync.close)

    def _release(self) -> None:
        self._file.close()
        self._marks.close()

    def _catch_up(self) -> None:
        """Know what others wrote; where nobody did, that is one look at the file."""
        size = self._file.grown_to()
        if size == self._file.size:
            if self._head.event == CLOSED:
                self._follow()  # the last attempt found no room for the next file, or no key
            return
        if size > self._file.size:
            self._follow()
            return
        known = self._head
        try:
            self._open(place.files(self._folder), self._marks.read(), known)
        except (OSError, WrongKey, WrongChain):
            # Opened anew by the next record, so that what is gone is told of then.
            self._release()
            self._head, self._file.size = known, UNKNOWN
            raise

    def _follow(self) -> None:
        self._learn()
        while self._head.event == CLOSED:
            path = self._folder / place.name_of(self._head.seq + 1)
            if not path.exists():
                self._begin()
                return
            self._use(path)
            self._learn()

    def _open(self, files: list[Path], marks: Marks, known: Head = _START) -> None:
        """Open the last file, and hold it against what is known of the chain."""
        self._head, self._found, self._name = _START, _START, ""
        self._opening = True  # until all is told that the marks show, they stay as they are
        try:
            files = place.without_empty(files, self._time())
            if files:
                self._use(files[-1])
                self._follow()
            else:
                self._key = self._keys.current
                name = marks.head.chain if marks.head is not None else known.chain
                self._name = name or self._new_name()
                self._begin()
            self._compare(marks, known, fresh=not files)
        finally:
            self._opening = False
        self._mark(HEAD, self._head, back=True)

    def _use(self, path: Path) -> None:
        opened = place.open_file(path)
        first = first_line(opened)
        key = self._key if first is None else self._keys.named(first.fields.get("key"))
        name = self._name if first is None else str(first.fields.get("chain", ""))
        if key is None or (self._name and name != self._name):
            os.close(opened)
            if key is None:
                raise WrongKey(f"{path.name} was begun with another key")
            raise WrongChain(f"{path.name} is of the chain {name or 'without a name'}")
        self._key, self._name, self._seal = key, name, line.bind(key, name)
        self._file.use(opened, path, lambda before: self._sync.after(before, last=True))

    def _learn(self) -> None:
        """Read the last record from the end of the file; close what a killed writer left."""
        end = self._file.end()
        if end.last is not None:
            self._head = Head(end.last.seq, end.last.mac, end.last.event, self._name)
        self._file.size, self._found = end.size, self._head
        if end.stump:
            try:
                self._tell(TORN, end.torn(), before=b"\n")
            except OSError:
                self._file.size = UNKNOWN
                raise

    def _compare(self, marks: Marks, known: Head, *, fresh: bool) -> None:
        """Tell in the chain what the marks, and what we have seen ourselves, show to be gone."""
        here = Here(self._found, self._name, self._key, fresh, self._marks)
        verdict = judge(here, marks, known, self._keys)
        if verdict.event == TAIL_LOST:
            log.error("records up to %(known_seq)d were lost with the power", verdict.told)
            self._tell(TAIL_LOST, verdict.told)
        elif verdict.event:
            self._tell_break(verdict.event, verdict.told)
        if verdict.event in (CUT, TAIL_LOST):
            os.fdatasync(self._file.handle)
            self._mark(DISK, self._head, back=True)
        if self._marks.exists and not self._name:
            # Begun before chains had names: from here on it has one.
            self._tell(CLOSED, {})
            self._name = self._new_name()
            self._begin()

    def _tell_break(self, event: str, told: Mapping[str, Any]) -> None:
        """Write down that the chain is broken, and keep it in mind in the second place."""
        head = self._tell(event, told)
        log.error(BROKEN, self._folder, head.seq)
        if self._marks.read().broken is None:
            self._marks.write(BREAK, self._key, head.seq, head.mac, self._name)

    def _mark(self, kind: str, head: Head, *, back: bool = False) -> None:
        self._marks.write(kind, self._key, head.seq, head.mac, self._name, back=back)

    def _on_disk(self, head: Head) -> None:
        """Keep in mind that all up to this record is on the disk; called by a thread."""
        try:
            with self._turns.turn():
                self._catch_up()
                now = self._marks.read().on_disk
                here = head.chain == self._name and head.seq <= self._head.seq
                if here and (now is None or now.seq < head.seq):
                    self._mark(DISK, head)
                    self._marks.force()
        except (OSError, WrongKey, WrongChain) as error:
            log.warning("what is on the disk was not marked (%s)", type(error).__name__)

    def _tell(self, event: str, told: Mapping[str, Any], before: bytes = b"") -> Head:
        return self._write(line.encode({"event": event, **told}), event, before)

    def _write(self, members: str, event: str, before: bytes = b"") -> Head:
        content, head = self._sealed(members, event)
        # A record whose loss nobody would notice is not written.
        self._file.add(before + content, lambda: self._mark_head(head))
        self._head = head
        return head

    def _mark_head(self, head: Head) -> None:
        if not self._opening:
            self._mark(HEAD, head)

    def _begin(self) -> None:
        """Begin the next file with a record that carries the head over."""
        told = {"event": OPENED, "key": line.key_id(self._key)}
        told |= ({"chain": self._name} if self._name else {}) | {"previous": self._head.mac}
        self._seal = line.bind(self._key, self._name)
        content, head = self._sealed(line.encode(told), OPENED)
        self._use(place.create(self._folder, head.seq, content))
        self._file.size, self._head = len(content), head
        self._mark_head(head)

    def _sealed(self, members: str, event: str) -> tuple[bytes, Head]:
        seq = self._head.seq + 1
        content, mac = line.write(self._seal, self._head.mac, seq, self._time(), members)
        return content, Head(seq, mac, event, self._name)

    def _time(self) -> str:
        return line.rfc3339(self._now())
