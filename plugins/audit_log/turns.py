"""One writer at a time, among all threads and processes: who has the folder locked.

What is locked is a file that nobody but writers can open, looked at by its name again once it is
locked: where it was swept away, who comes next would lock another. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import folder as place


class ChainBusy(TimeoutError):
    """Others held the chain until the deadline."""


class Turns:
    """Takes turns in one folder; ``deadline`` is how long one is waited for, in seconds.

    ``release`` is called where what was open must be let go of: at the end, and first of all in
    a process that was forked, for the descriptors it shares with its parent.
    """

    def __init__(self, folder: Path, deadline: float, release: Callable[[], None]) -> None:
        self._folder, self._deadline, self._release = folder, deadline, release
        self._threads = threading.Lock()
        self._gate, self._pid = -1, 0
        self._lock, self._inode = str(folder / place.LOCK), 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only one; raises ChainBusy after the deadline, OSError without a folder."""
        until = time.monotonic() + self._deadline
        if not self._threads.acquire(timeout=self._deadline):
            raise ChainBusy("the chain was held by this process until the deadline")
        try:
            self._enter(until)
            try:
                yield
            finally:
                fcntl.flock(self._gate, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self, first: Callable[[], None]) -> None:
        """Do something last, and let go of everything; a later turn opens it again."""
        with self._threads:
            first()
            self._let_go()

    def _enter(self, until: float) -> None:
        if self._pid != os.getpid():
            # After a fork the descriptors are shared, and a lock on them would be too.
            self._let_go()
            place.make(self._folder)
            self._pid = os.getpid()
        pause = 50e-6
        while True:
            if self._gate < 0:
                self._gate = place.open_lock(self._folder)
                self._inode = os.fstat(self._gate).st_ino
            try:
                fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise ChainBusy(
                        f"another process held {self._lock} until the deadline; "
                        f"fix: fuser {self._lock} names it"
                    ) from None
            else:
                if self._is_in_place():
                    return
                self._shut_gate()
                continue
            time.sleep(pause)
            pause = min(pause * 2, 0.002)

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._lock).st_ino == self._inode  # noqa: PTH116 - for every record
        except FileNotFoundError:
            return False

    def _shut_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
        self._gate = -1

    def _let_go(self) -> None:
        self._release()
        self._shut_gate()
        self._pid = 0
