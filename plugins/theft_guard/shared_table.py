"""The records of all subjects: one memory-mapped table that all workers of a host share.

What one worker learns of a client the next request finds, whichever worker it meets: there is
nothing to merge and nothing to miss. A set-associative table: a subject's record lies in one of
eight places, and a new subject takes that of the least suspected. A record is locked while it is
changed.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from secureml.kit.shared_memory import Lock, SharedMemory

from .client_state import RECORD, ClientState

WAYS = 8  # places that a subject's record may lie in
_MAX_INDEXES = 10_000  # subjects whose place a process remembers
_MAX_STATES = 512  # records whose views a process keeps ready, 13 KiB each


class LockedState:
    """A subject's record under its lock, to be entered: ``with ... as state``."""

    __slots__ = ("_find", "_lock")

    def __init__(self, lock: Lock, find: Callable[[], ClientState]) -> None:
        self._lock, self._find = lock, find

    def __enter__(self) -> ClientState:
        self._lock.acquire()
        try:
            return self._find()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Views:
    """What this process has ready of one mapping of the table; made anew after a fork."""

    def __init__(self, mapped: mmap.mmap, sizes: Mapping[str, int]) -> None:
        self.mapped = mapped
        self.records: dict[str, Any] = {}
        self.first: dict[str, int] = {}  # how many records of other kinds lie before
        self.indexes: dict[int, int] = {}
        self.states: dict[tuple[str, int], ClientState] = {}
        before = 0
        for kind, count in sizes.items():
            self.records[kind] = np.frombuffer(mapped, RECORD, count, before * RECORD.itemsize)
            self.first[kind], before = before, before + count

    def state(self, kind: str, index: int) -> ClientState:
        """Return the views of one record."""
        found = self.states.get((kind, index))
        if found is None:
            if len(self.states) >= _MAX_STATES:
                self.states.clear()
            found = ClientState(self.records[kind][index : index + 1])
            self.states[kind, index] = found
        return found

    def index(self, kind: str, key: int) -> int | None:
        """Return where a subject's record lies, None where it has none."""
        # A remembered place is checked: another process may have given it to somebody else.
        known = self.indexes.get(key)
        if known is not None and self.state(kind, known).values["key"][0] == key:
            return known
        table = self.records[kind]
        first = _first_way(table, key)
        for index in range(first, first + WAYS):
            if int(table["key"][index]) == key:
                if len(self.indexes) > _MAX_INDEXES:
                    self.indexes.clear()
                self.indexes[key] = index
                return index
        return None


class SharedTable:
    """Records by subject; ``sizes`` is how many there are of each kind. Opened at first use."""

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self._sizes = {kind: max(1, -(-count // WAYS)) * WAYS for kind, count in sizes.items()}
        size = sum(self._sizes.values()) * RECORD.itemsize
        self._memory = SharedMemory(path, repr((RECORD.descr, self._sizes)), size)
        self._views: _Views | None = None
        self._keys: dict[tuple[str, str], int] = {}

    @property
    def secret(self) -> bytes:
        """A secret of this table, for digests that nobody outside can foresee; raises OSError."""
        return self._memory.secret

    def locked(self, kind: str, name: str, now: float) -> LockedState:
        """Return the record of a subject, made if need be, that nobody else changes meanwhile.

        Raises OSError, also when it is entered. ``now`` is in epoch seconds.
        """
        views, key = self._open(), self._key(kind, name)
        first = _first_way(views.records[kind], key)
        lock = self._memory.lock((views.first[kind] + first) // WAYS)
        return LockedState(lock, lambda: _enter(views, kind, name, key, now))

    def find(self, kind: str, name: str) -> Any | None:
        """Return the record of a subject as it is now, unlocked, or None; raises OSError."""
        views = self._open()
        index = views.index(kind, self._key(kind, name))
        return None if index is None else views.records[kind][index]

    def records(self, kind: str) -> list[Any]:
        """Return copies of all records in use; raises OSError."""
        table = self._open().records[kind]
        return [table[index].copy() for index in np.flatnonzero(table["key"])]

    def exists(self) -> bool:
        """Tell whether any process has made the table yet."""
        return self._memory.exists()

    def close(self) -> None:
        """Close the file; views that are still in use keep it mapped."""
        self._views = None
        self._memory.close()

    def _open(self) -> _Views:
        mapped, views = self._memory.mapped(), self._views
        if views is None or views.mapped is not mapped:
            self._keys = {}
            views = self._views = _Views(mapped, self._sizes)
        return views

    def _key(self, kind: str, name: str) -> int:
        """Return 64 bits that stand for a subject, never 0: that is an empty record."""
        found = self._keys.get((kind, name))
        if found is None:
            text = f"{kind} {name}".encode()
            digest = blake2b(text, digest_size=8, key=self._memory.secret).digest()
            if len(self._keys) > _MAX_INDEXES:
                self._keys.clear()
            found = self._keys[kind, name] = int.from_bytes(digest, "little") | 1
        return found


def _first_way(table: Any, key: int) -> int:
    return (key >> 8) % (len(table) // WAYS) * WAYS


def _enter(views: _Views, kind: str, name: str, key: int, now: float) -> ClientState:
    index = views.index(kind, key)
    if index is None:
        index = _evict(views.records[kind], key, name)
    state = views.state(kind, index)
    state.values["last_seen"][0] = now
    return state


def _evict(table: Any, key: int, name: str) -> int:
    """Empty a record for a new subject: the lowest level goes first, then the longest silent."""
    first = _first_way(table, key)
    found = table[first : first + WAYS]
    index = first + int(np.lexsort((found["last_seen"], found["level"]))[0])
    table[index] = np.zeros((), RECORD)
    table[index]["key"], table[index]["name"] = key, name.encode()[:128]
    return index
