"""Who has not failed, remembered until any worker of this host counts a failure.

Most callers never fail, and asking the counters about each of their requests costs as much as
counting them. A word of shared memory, changed with every failure, says whether to ask again;
and what is remembered is believed for a second at most, so that a worker killed between
counting and saying so, or a file removed under the server, hides a failure no longer than that.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path

_WORD = 8  # bytes: written and read by the processor in one piece
_BELIEVED = 1.0  # seconds
_MOST = 4096  # strangers choose how many addresses they come from


class Calm:
    """The keys under which nothing is counted; without a file nothing is ever remembered."""

    def __init__(self, path: Path | None, monotonic: Callable[[], float]) -> None:
        self._path, self._monotonic = path, monotonic
        self._lock = threading.Lock()
        self._memory: mmap.mmap | None = None
        self._known: tuple[bytes, dict[str, float]] = (b"", {})

    def holds(self, key: str) -> bool:
        """Tell whether nothing was counted under a key, as far as anybody has said."""
        word, until = self._known
        return until.get(key, 0.0) > self._monotonic() and word == self.word()

    def word(self) -> bytes:
        """Return what changes with every failure; b"" where it cannot be known."""
        memory = self._memory or self._open()
        return memory[:_WORD] if memory is not None else b""

    def remember(self, key: str, word: bytes) -> None:
        """Keep that nothing was counted under a key; ``word`` is from before that was asked."""
        if not word:
            return
        known, until = self._known
        if known != word or len(until) >= _MOST:
            until = {}
            self._known = word, until
        until[key] = self._monotonic() + _BELIEVED

    def disturb(self) -> None:
        """Have every worker ask again; said before a failure is counted and once more after."""
        memory = self._memory or self._open()
        if memory is not None:
            memory[:_WORD] = os.urandom(_WORD)

    def _open(self) -> mmap.mmap | None:
        if self._path is None:
            return None
        with self._lock:
            if self._memory is None:
                try:
                    self._memory = _shared(self._path)
                except OSError:
                    return None  # nothing is remembered then, and the counters are asked
            return self._memory


def _shared(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < _WORD:
            os.ftruncate(descriptor, _WORD)
        memory = mmap.mmap(descriptor, _WORD)
    finally:
        os.close(descriptor)
    if memory[:] == bytes(_WORD):
        memory[:] = os.urandom(_WORD)
    return memory
