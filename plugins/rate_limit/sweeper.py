"""Removes what is over from a file of counters, in a thread of its own beside the requests.

Every process has one and one at a time does the work. It writes in short batches, so that no
request waits for it longer than for another request; it also moves the log into the file,
which is the only thing here that waits for the disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

from .handle import Handle, begin

log = logging.getLogger("secureml.rate_limit")
_BATCH = 200
_PATIENCE = 2.0  # seconds it waits for requests to let it write
_OVER = {
    "windows": ("SELECT key FROM windows WHERE expires <= ?",
                "DELETE FROM windows WHERE key = ? AND expires <= ?"),
    "entries": ("SELECT key, at, total FROM entries WHERE expires <= ?",
                "DELETE FROM entries WHERE key = ? AND at = ? AND total = ? AND expires <= ?"),
}  # fmt: skip
_SOONEST = {
    "windows": ("SELECT key FROM windows ORDER BY expires LIMIT ?",
                "DELETE FROM windows WHERE key = ?"),
    "entries": ("SELECT key, at, total FROM entries ORDER BY expires LIMIT ?",
                "DELETE FROM entries WHERE key = ? AND at = ? AND total = ?"),
}  # fmt: skip


class Sweeper:
    """Sweeps every ``every`` seconds once it was nudged in this process."""

    def __init__(
        self, handle: Handle, clock: Callable[[], float], *, every: float, capacity: int
    ) -> None:
        self._handle, self._clock = handle, clock
        self._every, self._capacity = every, capacity
        self._pid = 0
        self._starting = threading.Lock()
        self._stopped = threading.Event()

    def nudge(self) -> None:
        """Have the thread run in this process; costs nothing when it does."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid != os.getpid():
                self._pid, self._stopped = os.getpid(), threading.Event()
                words = (self._stopped,)
                threading.Thread(target=self._run, args=words, daemon=True).start()

    def stop(self) -> None:
        """End the thread at its next step."""
        self._stopped.set()
        self._pid = 0

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._every):
            try:
                self.sweep()
            except (sqlite3.Error, OSError) as error:
                # The requests meet the same fault and say so; here it only waits.
                log.warning("the counters could not be swept: %s", type(error).__name__)

    def sweep(self) -> int:
        """Remove what is over, and what is too much; return how many rows went.

        Nothing, where another process has swept within the time.
        """
        with self._handle.apart:
            file = self._handle.another()
            try:
                if not self._mine(file):
                    return 0
                gone = self._remove(file)
                file.execute("PRAGMA wal_checkpoint(PASSIVE)")
                return gone
            finally:
                file.close()

    def _mine(self, file: sqlite3.Connection) -> bool:
        now = self._clock()
        begin(file, time.monotonic() + _PATIENCE)
        (last,) = file.execute("SELECT at FROM sweeps").fetchone() or (0.0,)
        mine = not now - 0.9 * self._every < last <= now
        if mine:
            file.execute("INSERT OR REPLACE INTO sweeps VALUES (1, ?)", (now,))
        file.execute("COMMIT")
        return mine

    def _remove(self, file: sqlite3.Connection) -> int:
        gone, now = 0, self._clock()
        for find, delete in _OVER.values():
            rows = [(*row, now) for row in file.execute(find, (now,)).fetchall()]
            gone += _delete(file, delete, rows)
        for table, (find, delete) in _SOONEST.items():
            (count,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a name of ours
            # A key of a moving window has a row for each hit that counts.
            most = self._capacity * (4 if table == "entries" else 1)
            if most and count > most:
                log.warning("more than %d %s: those that end soonest give way", most, table)
                rows = file.execute(find, (count - most,)).fetchall()
                gone += _delete(file, delete, rows)
        return gone


def _delete(file: sqlite3.Connection, statement: str, rows: list[tuple[object, ...]]) -> int:
    for batch in _batches(rows):
        begin(file, time.monotonic() + _PATIENCE)
        file.executemany(statement, batch)
        file.execute("COMMIT")
    return len(rows)


def _batches(rows: list[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    for first in range(0, len(rows), _BATCH):
        yield rows[first : first + _BATCH]
