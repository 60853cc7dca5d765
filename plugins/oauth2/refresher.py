"""The thread that fetches one issuer's keys, so that a request never does.

Started on first need in each process (Gunicorn forks), ended by ``close``. A request that
must know of a new key waits for it a bounded time and no longer, whatever the network does.
"""

from __future__ import annotations

import logging
import os
import threading

from .keysource import KeySource

log = logging.getLogger("secureml.plugins.oauth2")
PATIENCE = 3.0  # seconds a request waits for keys
_LONGEST = 3600.0


class Refresher:
    """Keeps one source fresh in this process."""

    def __init__(self, source: KeySource) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def start(self) -> None:
        """Have the keys fetched from now on; costs nothing when they are."""
        self._running()

    def ask(self) -> None:
        """Have the keys fetched now, and wait for the end of that a bounded time."""
        self._running().ask()

    def close(self) -> None:
        """End the thread; a fetch under way is left to its own deadline."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and worker.pid == os.getpid():
            worker.end()

    def _running(self) -> _Worker:
        worker = self._worker
        if worker is not None and worker.pid == os.getpid():
            return worker
        with self._lock:
            if self._worker is None or self._worker.pid != os.getpid():
                self._worker = _Worker(self.source)
            return self._worker


class _Worker:
    """One process's thread and how to speak to it."""

    def __init__(self, source: KeySource) -> None:
        self.pid = os.getpid()
        self._source = source
        self._condition = threading.Condition()
        self._rounds = 0
        self._wanted = self._fetching = self._ended = False
        self.thread = threading.Thread(
            target=self._run, name=f"oauth2-keys-{source.name}", daemon=True
        )
        self.thread.start()

    def ask(self) -> None:
        with self._condition:
            before = self._rounds
            if not self._fetching:
                self._wanted = True
                self._condition.notify_all()
            self._condition.wait_for(lambda: self._rounds > before or self._ended, PATIENCE)

    def end(self) -> None:
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def _run(self) -> None:
        while self._until_due():
            self._refresh()
            with self._condition:
                self._rounds += 1
                self._fetching = False
                self._condition.notify_all()

    def _until_due(self) -> bool:
        """Wait for a refresh to be due or asked for; False when it is over."""
        with self._condition:
            while not self._ended and not self._wanted and (left := self._source.wait()) > 0:
                self._condition.wait(min(left, _LONGEST))
            self._wanted, self._fetching = False, not self._ended
            return self._fetching

    def _refresh(self) -> None:
        try:
            self._source.refresh()
        except Exception:  # a fault of ours must not end the refreshes for good
            log.exception("refreshing the keys of %s failed", self._source.name)
