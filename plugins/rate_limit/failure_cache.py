"""Addresses without failures, cached until any worker of this host counts a failure.

A negative cache: most callers never fail, and testing the limit at each of their requests costs
as much as a hit. A generation in shared memory, changed with every failure, says whether to ask
again; and an entry is valid for a second at most, so that a worker killed between counting and
changing the generation, or a file removed under the server, hides a failure no longer than that.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path

_SIZE = 8  # bytes of a generation: written and read by the processor in one piece
_LIFETIME = 1.0  # seconds
_MAX_ENTRIES = 4096  # strangers choose how many addresses they come from


class FailureCache:
    """The keys under which no failure is counted; without a file nothing is ever cached."""

    def __init__(self, path: Path | None, monotonic: Callable[[], float]) -> None:
        self._path, self._monotonic = path, monotonic
        self._lock = threading.Lock()
        self._memory: mmap.mmap | None = None
        self._entries: tuple[bytes, dict[str, float]] = (b"", {})

    def has_none(self, key: str) -> bool:
        """Tell whether it is cached that a key has no failures."""
        generation, expires = self._entries
        return expires.get(key, 0.0) > self._monotonic() and generation == self.generation()

    def generation(self) -> bytes:
        """Return what changes with every failure; b"" where it cannot be known."""
        memory = self._memory or self._open()
        return memory[:_SIZE] if memory is not None else b""

    def remember(self, key: str, generation: bytes) -> None:
        """Cache that a key has no failures; ``generation`` is from before the limit was tested."""
        if not generation:
            return
        known, expires = self._entries
        if known != generation or len(expires) >= _MAX_ENTRIES:
            expires = {}
            self._entries = generation, expires
        expires[key] = self._monotonic() + _LIFETIME

    def invalidate(self) -> None:
        """Have every worker ask again; called before a failure is counted and once more after."""
        memory = self._memory or self._open()
        if memory is not None:
            memory[:_SIZE] = os.urandom(_SIZE)

    def _open(self) -> mmap.mmap | None:
        if self._path is None:
            return None
        with self._lock:
            if self._memory is None:
                try:
                    self._memory = _map(self._path)
                except OSError:
                    return None  # nothing is cached then, and the limits are tested
            return self._memory


def _map(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < _SIZE:
            os.ftruncate(descriptor, _SIZE)
        memory = mmap.mmap(descriptor, _SIZE)
    finally:
        os.close(descriptor)
    if memory[:] == bytes(_SIZE):
        memory[:] = os.urandom(_SIZE)
    return memory
