"""The chain: many processes append to it, and it stays one.

Guarantees: records are numbered without a gap in the order they are written; each is sealed
together with the one before it; `Chain.append` returns only after the record has left this
process, so a killed worker takes nothing along; a record that cannot be written raises and
leaves no trace. The last record is known in a second place, the head file, as well: a log that ends
before it is told of in the chain, and goes on. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import codec, segments
from .chain_types import (
    CLOSED,
    LOG_BROKEN,
    OPENED,
    STARTED,
    TAIL_LOST,
    TORN,
    TRUNCATED,
    ChainOptions,
    Head,
    WrongChain,
    WrongKey,
)
from .durability import FsyncPolicy
from .head_file import BREAK, DISK, HEAD, HeadFile, Marks, boot_id
from .keyring import Keyring
from .lock import ChainBusy as ChainBusy  # noqa: PLC0414 - it is raised here
from .lock import ChainLock
from .segments import UNKNOWN, OpenSegment, first_line
from .tampering import FoundLog, find_loss, previous_chain

log = logging.getLogger("secureml.audit_log")

_START = Head(0, codec.GENESIS)


class Chain:
    """Appends records; opened by the first of them, in the process that writes it.

    ``now`` returns seconds since the epoch. A chain of a ``former`` key goes on with it until
    `renew`: a server that does not know the new one yet may be writing. ``head_file`` is the file
    in which the head is kept beside the log; ``new_name`` makes the name of a new chain.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        now: Callable[[], float],
        terms: ChainOptions | None = None,
        former: Sequence[bytes] = (),
        head_file: Path | None = None,
        new_name: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._folder, self._now, self._new_name = folder, now, new_name
        self._keyring, self._key = Keyring(key, former), key  # `_key` is that of the file at hand
        self._name, self._seal = "", key  # the chain's, and what seals its records
        self._terms = terms or ChainOptions()
        self._marks = HeadFile(head_file, self._keyring, boot_id())
        self._opening = False
        self._fsync = FsyncPolicy(self._terms.fsync, self._on_disk)
        self._lock = ChainLock(folder, self._terms.deadline, self._release)
        # The last record, and the last one before our own records about the chain.
        self._file, self._head, self._found = OpenSegment(), _START, _START

    def append(self, fields: Mapping[str, Any]) -> Head:
        """Write one record; return its number and seal.

        Raises OSError when it cannot be written (`ChainBusy` after the deadline), ValueError
        for what is no JSON or too long, `WrongKey` beside a chain of another key.
        """
        members = codec.encode(fields)
        with self._lock.acquire():
            self._catch_up()
            if self._file.size >= self._terms.rotate:
                self._append_chain_event(CLOSED, {})
                self._start()
            head = self._write(members, str(fields.get("event", "")))
            handle = self._file.handle
        # Beyond the lock: others write on while the disk is at it.
        self._fsync.apply(handle, head=head)
        return head

    def head(self) -> Head:
        """Return the last record."""
        with self._lock.acquire():
            self._catch_up()
            return self._head

    def renew(self) -> bool:
        """Switch to the current key where a former one is in use; return whether it did.

        Raises as ``append`` does.
        """
        with self._lock.acquire():
            self._catch_up()
            if self._key == self._keyring.current:
                return False
            self._append_chain_event(CLOSED, {"next_key": codec.key_id(self._keyring.current)})
            self._key = self._keyring.current
            # Before its file is there: beside that, a mark of a former key is not trusted.
            self._mark(HEAD, self._head)
            self._start()
            return True

    def start_new(self, reason: str) -> Head:
        """Move the files aside, and start a chain of another name that refers to this one.

        Returns its last record. Raises as ``append`` does.
        """
        with self._lock.acquire():
            last = self._marks.read().head
            aside = segments.set_aside(self._folder, self._time())
            self._marks.remove()
            self._release()
            self._open([], Marks())
            return self._append_chain_event(
                STARTED, {"facts": {"reason": reason, "set_aside": aside, **previous_chain(last)}}
            )

    def force(self) -> Head:
        """Flush all records to the disk; return the last one."""
        with self._lock.acquire():
            self._catch_up()
            head, handle = self._head, os.dup(self._file.handle)
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)
        return head

    def marks(self) -> Marks:
        """Return what the head file says; all of it empty where there is none."""
        with self._lock.acquire():
            return self._marks.read()

    def close(self) -> None:
        """Release the files; a later record opens them again."""
        self._lock.close(self._fsync.close)

    def _release(self) -> None:
        self._file.close()
        self._marks.close()

    def _catch_up(self) -> None:
        """Read what others wrote; where nobody did, that is one stat call."""
        size = self._file.grown_to()
        if size == self._file.size:
            if self._head.event == CLOSED:
                self._follow_segments()  # the last attempt found no room or no key
            return
        if size > self._file.size:
            self._follow_segments()
            return
        known = self._head
        try:
            self._open(segments.files(self._folder), self._marks.read(), known)
        except (OSError, WrongKey, WrongChain):
            # Opened anew by the next record, so that what is gone is told of then.
            self._release()
            self._head, self._file.size = known, UNKNOWN
            raise

    def _follow_segments(self) -> None:
        self._read_end()
        while self._head.event == CLOSED:
            path = self._folder / segments.name_of(self._head.seq + 1)
            if not path.exists():
                self._start()
                return
            self._use(path)
            self._read_end()

    def _open(self, files: list[Path], marks: Marks, known: Head = _START) -> None:
        """Open the last file, and hold it against what is known of the chain."""
        self._head, self._found, self._name = _START, _START, ""
        self._opening = True  # until all is told that the marks show, they stay as they are
        try:
            files = segments.without_empty(files, self._time())
            if files:
                self._use(files[-1])
                self._follow_segments()
            else:
                self._key = self._keyring.current
                name = marks.head.chain if marks.head is not None else known.chain
                self._name = name or self._new_name()
                self._start()
            self._compare(marks, known, fresh=not files)
        finally:
            self._opening = False
        self._mark(HEAD, self._head, back=True)

    def _use(self, path: Path) -> None:
        opened = segments.open_file(path)
        first = first_line(opened)
        key = self._key if first is None else self._keyring.named(first.fields.get("key"))
        name = self._name if first is None else str(first.fields.get("chain", ""))
        if key is None or (self._name and name != self._name):
            os.close(opened)
            if key is None:
                raise WrongKey(f"{path.name} was started with another key")
            raise WrongChain(f"{path.name} belongs to the chain {name or 'without a name'}")
        self._key, self._name, self._seal = key, name, codec.bind(key, name)
        self._file.use(opened, path, lambda before: self._fsync.apply(before, last=True))

    def _read_end(self) -> None:
        """Read the last record from the end of the file; close what a killed writer left."""
        end = self._file.end()
        if end.last is not None:
            self._head = Head(end.last.seq, end.last.mac, end.last.event, self._name)
        self._file.size, self._found = end.size, self._head
        if end.torn_tail:
            try:
                self._append_chain_event(TORN, end.torn(), before=b"\n")
            except OSError:
                self._file.size = UNKNOWN
                raise

    def _compare(self, marks: Marks, known: Head, *, fresh: bool) -> None:
        """Record which records the marks, and this process, know to be missing."""
        here = FoundLog(self._found, self._name, self._key, fresh, self._marks)
        loss = find_loss(here, marks, known, self._keyring)
        if loss.event == TAIL_LOST:
            log.error("records up to %(known_seq)d were lost in a power failure", loss.told)
            self._append_chain_event(TAIL_LOST, loss.told)
        elif loss.event:
            self._record_truncation(loss.event, loss.told)
        if loss.event in (TRUNCATED, TAIL_LOST):
            os.fdatasync(self._file.handle)
            self._mark(DISK, self._head, back=True)
        if self._marks.exists and not self._name:
            # Begun before chains had names: from here on it has one.
            self._append_chain_event(CLOSED, {})
            self._name = self._new_name()
            self._start()

    def _record_truncation(self, event: str, told: Mapping[str, Any]) -> None:
        """Write down that the chain is broken, and mark it in the head file."""
        head = self._append_chain_event(event, told)
        log.error(LOG_BROKEN, self._folder, head.seq)
        if self._marks.read().broken is None:
            self._marks.write(BREAK, self._key, head.seq, head.mac, self._name)

    def _mark(self, kind: str, head: Head, *, back: bool = False) -> None:
        self._marks.write(kind, self._key, head.seq, head.mac, self._name, back=back)

    def _on_disk(self, head: Head) -> None:
        """Mark that all records up to this one are on the disk; called by a thread."""
        try:
            with self._lock.acquire():
                self._catch_up()
                now = self._marks.read().on_disk
                here = head.chain == self._name and head.seq <= self._head.seq
                if here and (now is None or now.seq < head.seq):
                    self._mark(DISK, head)
                    self._marks.force()
        except (OSError, WrongKey, WrongChain) as error:
            log.warning("the head file was not updated (%s); fix: check its folder", error)

    def _append_chain_event(self, event: str, told: Mapping[str, Any], before: bytes = b"") -> Head:
        return self._write(codec.encode({"event": event, **told}), event, before)

    def _write(self, members: str, event: str, before: bytes = b"") -> Head:
        content, head = self._sealed(members, event)
        # Without its head, the loss of a record would go unnoticed.
        self._file.add(before + content, lambda: self._mark_head(head))
        self._head = head
        return head

    def _mark_head(self, head: Head) -> None:
        if not self._opening:
            self._mark(HEAD, head)

    def _start(self) -> None:
        """Begin the next file with a record that carries the head over."""
        told = {"event": OPENED, "key": codec.key_id(self._key)}
        told |= ({"chain": self._name} if self._name else {}) | {"previous": self._head.mac}
        self._seal = codec.bind(self._key, self._name)
        content, head = self._sealed(codec.encode(told), OPENED)
        self._use(segments.create(self._folder, head.seq, content))
        self._file.size, self._head = len(content), head
        self._mark_head(head)

    def _sealed(self, members: str, event: str) -> tuple[bytes, Head]:
        seq = self._head.seq + 1
        content, mac = codec.write(self._seal, self._head.mac, seq, self._time(), members)
        return content, Head(seq, mac, event, self._name)

    def _time(self) -> str:
        return codec.rfc3339(self._now())
