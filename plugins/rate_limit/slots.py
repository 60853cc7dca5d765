"""So many at once, over all processes of a host, and never a slot lost.

A slot is a byte of a file, locked while it is held. The system gives the locks of a process
back when it ends, however it ends, so a worker that is killed in the middle of a request takes
no slot along. Who holds one keeps it: it is the newcomer who is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections import defaultdict
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

_ROOM = 1024  # bytes kept for each key; the file stays empty, locks need no content
_FLOCK = "hhqqi4x"  # struct flock of Linux, 64 bit


class Slot(NamedTuple):
    """One of the places under a key."""

    key: str
    number: int


class Slots:
    """Hands out slots; opened in each process at first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._file, self._pid = -1, 0

    def take(self, key: str, most: int) -> Slot | None:
        """Return a slot that is now held, or None when all ``most`` are; raises OSError."""
        with self._lock:
            self._open()
            held, first = self._held[key], _first_byte(key)
            for number in range(most):
                # A process does not stand in its own way, so what it holds is kept in mind too.
                if number not in held and self._lock_byte(first + number):
                    held.add(number)
                    return Slot(key, number)
            if not held:
                del self._held[key]
            return None

    def give(self, slot: Slot) -> None:
        """Return a slot."""
        with self._lock:
            held = self._held.get(slot.key)
            if self._pid != os.getpid() or held is None or slot.number not in held:
                return
            place = _first_byte(slot.key) + slot.number
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
            held.discard(slot.number)
            if not held:
                del self._held[slot.key]

    def used(self, key: str, most: int) -> int:
        """Count the slots that are held, by whomever; takes none."""
        with self._lock:
            self._open()
            held, first = self._held.get(key, set()), _first_byte(key)
            return sum(n in held or self._is_locked(first + n) for n in range(most))

    def close(self) -> None:
        """Let go of all that this process holds."""
        with self._lock:
            if self._pid == os.getpid() and self._file >= 0:
                os.close(self._file)
            self._file, self._pid = -1, 0
            self._held.clear()

    def _open(self) -> None:
        if self._pid == os.getpid():
            return
        # Locks are the parent's and stay with it; its file, closed here, would not harm them.
        if self._file >= 0:
            os.close(self._file)
        self._held.clear()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._pid = os.getpid()

    def _lock_byte(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _is_locked(self, place: int) -> bool:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
        found = fcntl.fcntl(self._file, fcntl.F_GETLK, asked)
        return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _first_byte(key: str) -> int:
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") * _ROOM
