"""One SQLite file shared by processes and threads, with a bounded wait for its lock.

A connection serves all threads of a process, one at a time: a lock in the process hands it on
in microseconds, where SQLite's own waiting sleeps. Waiting for other processes is done here
as well, in steps of microseconds. Both waits end after ``timeout`` seconds with StorageError.
It is opened once in each process and never inherited by a fork.

No commit waits for the disk: the write-ahead log is synchronised by whoever checkpoints, which
is the sweeper. A killed process or a power cut leaves a sound file.
"""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from limits.errors import StorageError

P = ParamSpec("P")
T = TypeVar("T")
# A hit writes a whole page into the log: a small one is a quarter of the writing. An existing
# file keeps its own size.
PAGE_SIZE = 1024
_OPEN_TIMEOUT = 5.0  # seconds: the first of many processes creates the tables
_SCHEMA = """
CREATE TABLE IF NOT EXISTS windows (
    key TEXT PRIMARY KEY, number INTEGER NOT NULL, previous INTEGER NOT NULL,
    current INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    key TEXT NOT NULL, at REAL NOT NULL, total INTEGER NOT NULL, amount INTEGER NOT NULL,
    expires REAL NOT NULL, PRIMARY KEY (key, at, total)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sweeps (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL);
"""


class SQLiteConnection:
    """Runs transactions on one file; it is opened by the first. ``size`` is in bytes."""

    def __init__(self, path: Path, *, timeout: float, size: int) -> None:
        self.path, self.timeout, self._size = path, timeout, size
        self._lock = threading.Lock()
        # Held while a second connection is open, so that a fork waits until it is closed.
        self.maintenance_lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def transaction(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run ``work(connection, ...)`` alone among all processes; raises StorageError."""
        deadline = time.monotonic() + self.timeout
        if not self._lock.acquire(timeout=self.timeout):
            raise StorageError(TimeoutError("the counters are busy"))
        try:
            connection = self._checked()
            begin_immediate(connection, deadline)
            try:
                found = work(connection, *args, **kw)
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            else:
                return found
        except (sqlite3.Error, OSError) as error:
            raise StorageError(error) from error
        finally:
            self._lock.release()

    def execute(self, statement: str, parameters: tuple[object, ...]) -> tuple[Any, ...] | None:
        """Run one statement, all of it or nothing, and return its first row.

        It sees what was last committed, and what it writes is committed when it returns.
        Raises StorageError.
        """
        deadline = time.monotonic() + self.timeout
        if not self._lock.acquire(timeout=self.timeout):
            raise StorageError(TimeoutError("the counters are busy"))
        try:
            connection = self._checked()
            try:
                # To the end: only then is what it wrote committed.
                found = connection.execute(statement, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                found = retry_busy(
                    lambda: connection.execute(statement, parameters).fetchall(), deadline
                )
        except (sqlite3.Error, OSError) as error:
            raise StorageError(error) from error
        finally:
            self._lock.release()
        return found[0] if found else None

    def open_second(self) -> sqlite3.Connection:
        """Open a second connection, for the sweeper; the caller holds ``maintenance_lock``."""
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=_OPEN_TIMEOUT,
            isolation_level=None,  # transactions begin explicitly
            check_same_thread=False,
        )
        # NORMAL: with a write-ahead log no commit waits for the disk, and the file stays sound.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count={max(16, self._size // page)}")
        return connection

    def close(self) -> None:
        """Close what this process has open; the next use opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _checked(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        # A file that was moved away is still counted in by processes that hold it, by no other.
        found = os.stat(self.path)  # noqa: PTH116 - each request, half the cost of Path.stat
        if (found.st_dev, found.st_ino) != self._identity:
            raise FileNotFoundError(
                f"{self.path} was replaced while the server runs; fix: restart the server"
            )
        return self._connection

    def _open(self) -> sqlite3.Connection:
        # Created here, so that its mode is never left to the umask.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        found = self.path.stat()
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"other users may open {self.path}; fix: chmod 600 {self.path}")
        connection = self.open_second()
        retry_busy(
            lambda: connection.execute("PRAGMA journal_mode=WAL"), time.monotonic() + _OPEN_TIMEOUT
        )
        connection.execute("PRAGMA wal_autocheckpoint=16384")  # if no sweeper runs: 16 MiB of log
        connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        connection.execute("PRAGMA busy_timeout=0")  # from here on retry_busy waits
        self._identity = (found.st_dev, found.st_ino)
        _opened.add(self)
        return connection

    def before_fork(self) -> None:
        """Close everything: SQLite counts its locks in the process, and a child would inherit."""
        self.maintenance_lock.acquire()
        self._lock.acquire()
        self._close()

    def after_fork(self) -> None:
        """Release the locks; in the child there are no other threads."""
        self._lock.release()
        self.maintenance_lock.release()


def begin_immediate(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin a write transaction; raises OperationalError after ``deadline`` (monotonic)."""
    retry_busy(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)


def retry_busy(work: Callable[[], T], deadline: float) -> T:
    """Repeat ``work`` while another process holds the lock, from 20 microseconds on."""
    pause = 0.00002
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - so that two do not keep step
        pause = min(pause * 2, 0.002)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


_opened: weakref.WeakSet[SQLiteConnection] = weakref.WeakSet()
_forking: list[SQLiteConnection] = []


def _before_fork() -> None:
    _forking[:] = list(_opened)
    for connection in _forking:
        connection.before_fork()


def _after_fork() -> None:
    for connection in _forking:
        connection.after_fork()
    _forking.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
