"""A semaphore over all processes of a host, by byte-range locks: no permit is ever lost.

A permit is a byte of a file, locked while it is held. The system releases the locks of a process
when it ends, however it ends, so a worker that is killed in the middle of a request takes no
permit along. Nobody is interrupted: it is the new request that is refused.
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

_BYTES_PER_KEY = 1024  # the file stays empty: locks need no content
_FLOCK = "hhqqi4x"  # struct flock of Linux, 64 bit


class Permit(NamedTuple):
    """One of the permits of a key."""

    key: str
    number: int


class ConcurrencyLimiter:
    """Grants at most so many permits of a key at once; opened in each process at first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._file, self._pid = -1, 0

    def acquire(self, key: str, limit: int) -> Permit | None:
        """Return a permit that is now held, or None when all ``limit`` are; raises OSError."""
        with self._lock:
            self._open()
            held, first = self._held[key], _first_byte(key)
            for number in range(limit):
                # Locks of the same process never conflict, so its own are remembered here.
                if number not in held and self._lock_byte(first + number):
                    held.add(number)
                    return Permit(key, number)
            if not held:
                del self._held[key]
            return None

    def release(self, permit: Permit) -> None:
        """Give a permit back; one that is not held is ignored."""
        with self._lock:
            held = self._held.get(permit.key)
            if self._pid != os.getpid() or held is None or permit.number not in held:
                return
            offset = _first_byte(permit.key) + permit.number
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)
            held.discard(permit.number)
            if not held:
                del self._held[permit.key]

    def in_use(self, key: str, limit: int) -> int:
        """Count the permits that any process holds; takes none."""
        with self._lock:
            self._open()
            held, first = self._held.get(key, set()), _first_byte(key)
            return sum(n in held or self._is_locked(first + n) for n in range(limit))

    def close(self) -> None:
        """Release all that this process holds."""
        with self._lock:
            if self._pid == os.getpid() and self._file >= 0:
                os.close(self._file)
            self._file, self._pid = -1, 0
            self._held.clear()

    def _open(self) -> None:
        if self._pid == os.getpid():
            return
        # Locks are the parent's and stay with it; its file, closed here, does not harm them.
        if self._file >= 0:
            os.close(self._file)
        self._held.clear()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._pid = os.getpid()

    def _lock_byte(self, offset: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _is_locked(self, offset: int) -> bool:
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        answer = fcntl.fcntl(self._file, fcntl.F_GETLK, query)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _first_byte(key: str) -> int:
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") * _BYTES_PER_KEY
