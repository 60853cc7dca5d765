"""One writer at a time, among all threads and processes: who has the folder locked.

The folder itself is locked: a lock file could be swept away, and then two would write who
believe themselves alone. Knows no Flask and no SecureML.
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
            self._gate = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._pid = os.getpid()
        pause = 50e-6
        while True:
            try:
                fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise ChainBusy("the chain was held by others until the deadline") from None
            else:
                return
            time.sleep(pause)
            pause = min(pause * 2, 0.002)

    def _let_go(self) -> None:
        self._release()
        if self._gate >= 0:
            os.close(self._gate)
        self._gate, self._pid = -1, 0
