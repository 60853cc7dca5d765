"""When records are flushed to the disk (fdatasync): after each, each second, or never.

Without it a record survives the death of every process, and not a power cut.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

EVERY = 1.0  # seconds between two forced writes with "interval"
WORDS = ("always", "interval", "never")


class FsyncPolicy:
    """One policy; unless it is ``never`` a thread of this process flushes the last records.

    ``forced`` is called from that thread with the last record that is known to be on the disk.
    """

    def __init__(self, policy: str, forced: Callable[[Any], None] | None = None) -> None:
        self._policy, self._forced = policy, forced
        self._head: Any = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._pid = 0
        self._handle = -1
        self._guard = threading.Lock()

    def apply(self, handle: int, *, last: bool = False, head: Any = None) -> None:
        """Apply the policy after the record ``head``; ``last`` before the file is closed."""
        if self._policy == "never":
            return
        if self._policy == "always" or last:
            os.fdatasync(handle)
        if last:
            with self._guard:
                self._handle = -1
            return
        if self._policy == "always" and self._forced is None:
            return
        self._handle, self._head = handle, head
        if self._pid != os.getpid():
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Flush what is not yet on the disk, and end the thread; a later record begins another."""
        with self._guard:
            if self._handle >= 0 and self._pid == os.getpid():
                os.fdatasync(self._handle)
            self._handle, self._pid = -1, 0
        self._ended.set()
        self._wake.set()

    def _start(self) -> None:
        self._pid, self._guard = os.getpid(), threading.Lock()
        self._wake, self._ended = threading.Event(), threading.Event()
        given = self._wake, self._ended
        threading.Thread(target=self._run, args=given, name="audit-sync", daemon=True).start()

    def _run(self, wake: threading.Event, ended: threading.Event) -> None:
        while True:
            wake.wait()
            if ended.wait(EVERY):
                return
            wake.clear()
            with self._guard:
                head = self._head
                try:
                    if self._handle >= 0:
                        os.fdatasync(self._handle)
                except OSError:
                    # The file was closed meanwhile, and flushed then.
                    self._handle = -1
                    head = None
            if head is not None and self._forced is not None:
                self._forced(head)
