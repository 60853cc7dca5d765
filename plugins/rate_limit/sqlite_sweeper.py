"""Removes expired rows from a file of counters, in a thread of its own beside the requests.

It also checkpoints the write-ahead log, which is the only thing here that waits for the disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable

from .sqlite_connection import SQLiteConnection, begin_immediate

log = logging.getLogger("secureml.rate_limit")
THREAD = "rate limit sweeper"
_BATCH = 200  # rows in a transaction
_TIMEOUT = 2.0  # seconds that a sweep waits for requests to let it write
_EXPIRED = {
    "windows": ("SELECT key FROM windows WHERE expires <= ?",
                "DELETE FROM windows WHERE key = ? AND expires <= ?"),
    "entries": ("SELECT key, at, total FROM entries WHERE expires <= ?",
                "DELETE FROM entries WHERE key = ? AND at = ? AND total = ? AND expires <= ?"),
}  # fmt: skip
_EARLIEST = {
    "windows": ("SELECT key FROM windows ORDER BY expires LIMIT ?",
                "DELETE FROM windows WHERE key = ?"),
    "entries": ("SELECT key, at, total FROM entries ORDER BY expires LIMIT ?",
                "DELETE FROM entries WHERE key = ? AND at = ? AND total = ?"),
}  # fmt: skip


class Sweeper:
    """A thread in each process that removes expired rows every ``interval`` seconds.

    One process at a time does it, in short transactions, so that no request waits for it longer
    than for another request. Beyond ``capacity`` keys (0 for no bound) those that expire first
    are removed as well. ``clock`` gives epoch seconds. The thread ends when it is stopped, or when
    nobody has the sweeper any more: an application that is dropped leaves none behind.
    """

    def __init__(
        self,
        connection: SQLiteConnection,
        clock: Callable[[], float],
        *,
        interval: float,
        capacity: int,
    ) -> None:
        self._connection, self._clock = connection, clock
        self._interval, self._capacity = interval, capacity
        self._pid = 0
        self._starting = threading.Lock()
        self._stopped = threading.Event()

    def ensure_running(self) -> None:
        """Start the thread in this process if it does not run."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid != os.getpid():
                self._pid, self._stopped = os.getpid(), threading.Event()
                given = weakref.ref(self), self._stopped, self._interval
                threading.Thread(target=_run, args=given, name=THREAD, daemon=True).start()
                weakref.finalize(self, self._stopped.set).atexit = False

    def stop(self) -> None:
        """End the thread at its next step."""
        self._stopped.set()
        self._pid = 0

    def sweep(self) -> int:
        """Remove expired rows and those beyond the capacity; return how many.

        0 where another process has done so within the interval.
        """
        with self._connection.maintenance_lock:
            file = self._connection.open_second()
            try:
                if not self._is_due(file):
                    return 0
                removed = self._remove(file)
                file.execute("PRAGMA wal_checkpoint(PASSIVE)")
                return removed
            finally:
                file.close()

    def _is_due(self, file: sqlite3.Connection) -> bool:
        now = self._clock()
        begin_immediate(file, time.monotonic() + _TIMEOUT)
        (last,) = file.execute("SELECT at FROM sweeps").fetchone() or (0.0,)
        due = not now - 0.9 * self._interval < last <= now
        if due:
            file.execute("INSERT OR REPLACE INTO sweeps VALUES (1, ?)", (now,))
        file.execute("COMMIT")
        return due

    def _remove(self, file: sqlite3.Connection) -> int:
        removed, now = 0, self._clock()
        for find, delete in _EXPIRED.values():
            rows = [(*row, now) for row in file.execute(find, (now,)).fetchall()]
            removed += _delete(file, delete, rows)
        for table, (find, delete) in _EARLIEST.items():
            (count,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a name of ours
            # A key of a moving window has a row for each hit that counts.
            limit = self._capacity * (4 if table == "entries" else 1)
            if limit and count > limit:
                log.warning("more than %d rows in %s: removing the first to expire", limit, table)
                rows = file.execute(find, (count - limit,)).fetchall()
                removed += _delete(file, delete, rows)
        return removed


def _run(sweeper: weakref.ref[Sweeper], stopped: threading.Event, interval: float) -> None:
    while not stopped.wait(interval):
        found = sweeper()
        if found is None:
            return
        try:
            found.sweep()
        except (sqlite3.Error, OSError) as error:
            # Requests meet the same fault and report it; here it is only tried again.
            log.warning("expired counters could not be removed: %s", type(error).__name__)
        del found  # else it would be kept for the whole interval


def _delete(file: sqlite3.Connection, statement: str, rows: list[tuple[object, ...]]) -> int:
    for first in range(0, len(rows), _BATCH):
        begin_immediate(file, time.monotonic() + _TIMEOUT)
        file.executemany(statement, rows[first : first + _BATCH])
        file.execute("COMMIT")
    return len(rows)
