"""One writer at a time, among all threads and processes: a mutex with a deadline.

The lock is `flock` on a file that only writers can open. Once it is locked its inode is compared
with the path: after the file was deleted, the next process would lock another file. Knows no
Flask and no SecureML.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import segments


class ChainBusy(TimeoutError):
    """Another thread or process held the lock until the deadline."""


class ChainLock:
    """The lock of one folder; ``deadline`` is the longest wait for it, in seconds.

    ``release`` closes the open files: at the end, and first of all in a forked process, because
    it shares their descriptors with its parent.
    """

    def __init__(self, folder: Path, deadline: float, release: Callable[[], None]) -> None:
        self._folder, self._deadline, self._release = folder, deadline, release
        self._threads = threading.Lock()
        self._descriptor, self._pid = -1, 0
        self._lock, self._inode = str(folder / segments.LOCK), 0

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold the lock; raises ChainBusy after the deadline, OSError without a folder."""
        until = time.monotonic() + self._deadline
        if not self._threads.acquire(timeout=self._deadline):
            raise ChainBusy(
                "another thread held the audit log until the deadline; fix: use a faster disk"
            )
        try:
            self._enter(until)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self, first: Callable[[], None]) -> None:
        """Call ``first``, then release everything; a later `acquire` opens it again."""
        with self._threads:
            first()
            self._release_all()

    def _enter(self, until: float) -> None:
        if self._pid != os.getpid():
            # After a fork the descriptors are shared, and a lock on them would be too.
            self._release_all()
            segments.make(self._folder)
            self._pid = os.getpid()
        pause = 50e-6
        while True:
            if self._descriptor < 0:
                self._descriptor = segments.open_lock(self._folder)
                self._inode = os.fstat(self._descriptor).st_ino
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise ChainBusy(
                        f"another process held {self._lock} until the deadline; "
                        f"fix: fuser {self._lock} names it"
                    ) from None
            else:
                if self._is_in_place():
                    return
                self._close_descriptor()
                continue
            time.sleep(pause)
            pause = min(pause * 2, 0.002)

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._lock).st_ino == self._inode  # noqa: PTH116 - for every record
        except FileNotFoundError:
            return False

    def _close_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _release_all(self) -> None:
        self._release()
        self._close_descriptor()
        self._pid = 0
