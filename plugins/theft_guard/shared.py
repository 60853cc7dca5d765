"""The table of slots that all workers of a host share: one file, mapped into each of them.

What one worker learns of a client the next request finds, whichever worker it meets: there is
nothing to merge and nothing to miss. Its size is settled when it is made and allocated then,
so that a full disk is an error at the start and not a signal in the middle of a request.
A slot is locked while it is changed; locks die with the process that held them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from .memory import SLOT, Memory

WAYS = 8  # places a party may have its slot in; a new one takes that of the least watched
_HEADER, _KEY, _STRIPES, _REMEMBERED = 4096, 32, 64, 10_000
_VIEWED = 512  # slots whose views a process keeps ready, 13 KiB each
_MAGIC = b"theft_guard slots 1\n"


class Held:
    """A lock on one set of slots. A class, because a generator takes longer than what it guards."""

    __slots__ = ("_enter", "_file", "_place", "_stripe")

    def __init__(
        self, file: int, place: int, stripe: threading.Lock, enter: Callable[[], Memory]
    ) -> None:
        self._file, self._place, self._stripe, self._enter = file, place, stripe, enter

    def __enter__(self) -> Memory:
        # A file's locks belong to the process, so threads need one of their own.
        self._stripe.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._place)
            return self._enter()
        except BaseException:
            self._release()
            raise

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)
        finally:
            self._stripe.release()


class Slots:
    """Slots by party; ``sizes`` says how many there are of each kind. Opened on first use."""

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self._sizes = {kind: max(1, -(-many // WAYS)) * WAYS for kind, many in sizes.items()}
        layout = blake2b(repr((SLOT.descr, self._sizes)).encode(), digest_size=4).hexdigest()
        # Another layout is another file: one that is mapped elsewhere is never cut short.
        self._path = path.with_name(f"{path.name}-{layout}")
        self._stem = path.name
        self._pid, self._file, self._key = 0, -1, b""
        self._tables: dict[str, tuple[int, Any]] = {}
        self._places: dict[int, int] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self._memories: dict[tuple[str, int], Memory] = {}
        self._opening = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]

    @property
    def key(self) -> bytes:
        """A secret of this table, for digests that nobody outside can foresee."""
        self._open()
        return self._key

    def held(self, kind: str, name: str, now: float) -> Held:
        """Return the slot of a party, made if need be, to be entered: `with ... as memory`.

        Nobody else changes it meanwhile. Entering raises OSError.
        """
        start, table = self._open()[kind]
        mark = self._mark(kind, name)
        first = (mark >> 8) % (len(table) // WAYS) * WAYS
        lock = start + first + 1
        stripe = self._stripes[lock // WAYS % _STRIPES]
        return Held(self._file, lock, stripe, lambda: self._entered(kind, name, mark, first, now))

    def _entered(self, kind: str, name: str, mark: int, first: int, now: float) -> Memory:
        place = self._place(kind, mark)
        if place is None:
            place = _taken(self._tables[kind][1], first, mark, name)
        memory = self._memory(kind, place)
        memory.one["seen"][0] = now
        return memory

    def peek(self, kind: str, name: str) -> Any | None:
        """Return the slot of a party as it stands, or None; raises OSError."""
        _, table = self._open()[kind]
        place = self._place(kind, self._mark(kind, name))
        return None if place is None else table[place]

    def every(self, kind: str) -> list[Any]:
        """Return copies of all slots in use; raises OSError."""
        _, table = self._open()[kind]
        return [table[place].copy() for place in np.flatnonzero(table["key"])]

    def exists(self) -> bool:
        """Tell whether anybody has made the table yet."""
        return self._path.exists()

    def close(self) -> None:
        """Let go of the file; views that are still out keep it mapped."""
        with self._opening:
            if self._pid == os.getpid() and self._file >= 0:
                os.close(self._file)
            self._tables, self._memories, self._pid, self._file = {}, {}, 0, -1

    def _place(self, kind: str, mark: int) -> int | None:
        # Remembered, and looked at before it is believed: others may have taken the place.
        table, known = self._tables[kind][1], self._places.get(mark)
        if known is not None and self._memory(kind, known).one["key"][0] == mark:
            return known
        first = (mark >> 8) % (len(table) // WAYS) * WAYS
        for place in range(first, first + WAYS):
            if int(table["key"][place]) == mark:
                if len(self._places) > _REMEMBERED:
                    self._places.clear()
                self._places[mark] = place
                return place
        return None

    def _memory(self, kind: str, place: int) -> Memory:
        found = self._memories.get((kind, place))
        if found is None:
            if len(self._memories) >= _VIEWED:
                self._memories.clear()
            found = self._memories[kind, place] = Memory(self._tables[kind][1][place : place + 1])
        return found

    def _mark(self, kind: str, name: str) -> int:
        found = self._marks.get((kind, name))
        if found is None:
            text = f"{kind} {name}".encode()
            digest = blake2b(text, digest_size=8, key=self._key).digest()
            if len(self._marks) > _REMEMBERED:
                self._marks.clear()
            found = self._marks[kind, name] = int.from_bytes(digest, "little") | 1
        return found

    def _open(self) -> dict[str, tuple[int, Any]]:
        if self._pid == os.getpid():
            return self._tables
        with self._opening:
            if self._pid != os.getpid():
                self._map()
                self._pid = os.getpid()
        return self._tables

    def _map(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        size = _HEADER + sum(self._sizes.values()) * SLOT.itemsize
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
        try:
            if os.pread(self._file, len(_MAGIC), 0) != _MAGIC:
                self._make(size)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)
        self._key = os.pread(self._file, _KEY, len(_MAGIC))
        mapped = mmap.mmap(self._file, size)
        self._tables, self._places, self._marks, self._memories = {}, {}, {}, {}
        place, start = _HEADER, 0
        for kind, many in self._sizes.items():
            self._tables[kind] = (start, np.frombuffer(mapped, SLOT, many, place))
            place, start = place + many * SLOT.itemsize, start + many

    def _make(self, size: int) -> None:
        for old in self._path.parent.glob(f"{self._stem}-????????"):
            if old != self._path:
                with suppress(OSError):
                    old.unlink()
        os.posix_fallocate(self._file, 0, size)
        os.pwrite(self._file, os.urandom(_KEY), len(_MAGIC))
        os.fsync(self._file)
        # Last: what has its name is whole.
        os.pwrite(self._file, _MAGIC, 0)


def _taken(table: Any, first: int, mark: int, name: str) -> int:
    """Return a place for a new party: that of the least watched, and of them the longest silent."""
    found = table[first : first + WAYS]
    place = first + int(np.lexsort((found["seen"], found["level"]))[0])
    table[place] = np.zeros((), SLOT)
    table[place]["key"], table[place]["name"] = mark, name.encode()[:128]
    return place
