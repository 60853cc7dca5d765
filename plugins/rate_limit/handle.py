"""One SQLite file as processes and threads may share it: opened once a process, never forked.

A connection serves all threads of a process, one at a time: a lock in the process hands it on
in microseconds, where SQLite's own waiting sleeps. Waiting for other processes is done here
as well, in steps of microseconds. Both waits end at ``busy`` seconds with StorageError.

Nothing waits for the disk: the log is synchronised by whoever checkpoints, which is the
sweeper. A process that is killed at any point leaves a sound file, and so does the power.
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
# A hit writes a whole page into the log: a small one is a quarter of the writing. A file that
# is there already keeps its own.
PAGE = 1024
_SETTLING = 5.0  # seconds that opening may take: the first of many processes sets the file up
_SCHEMA = """
CREATE TABLE IF NOT EXISTS windows (
    key TEXT PRIMARY KEY, number INTEGER NOT NULL, previous INTEGER NOT NULL,
    current INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    key TEXT NOT NULL, at REAL NOT NULL, total INTEGER NOT NULL, amount INTEGER NOT NULL,
    expires REAL NOT NULL, PRIMARY KEY (key, at, total)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sweeps (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL);
"""


class Handle:
    """Runs work in transactions on one file; nothing is open before the first."""

    def __init__(self, path: Path, *, busy: float, size: int) -> None:
        self.path, self.busy, self._size = path, busy, size
        self._lock = threading.Lock()
        # Held by whoever has a second connection open, so that a fork can wait for its end.
        self.apart = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def write(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run ``work(connection, ...)`` alone among all processes; raises StorageError."""
        deadline = time.monotonic() + self.busy
        if not self._lock.acquire(timeout=self.busy):
            raise StorageError(TimeoutError("the counters are busy"))
        try:
            connection = self._ready()
            begin(connection, deadline)
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

    def one(self, statement: str, words: tuple[object, ...]) -> tuple[Any, ...] | None:
        """Run one statement, all of it or nothing, and return its first row.

        It sees what was last committed, and what it writes is committed when it returns.
        Raises StorageError.
        """
        deadline = time.monotonic() + self.busy
        if not self._lock.acquire(timeout=self.busy):
            raise StorageError(TimeoutError("the counters are busy"))
        try:
            connection = self._ready()
            try:
                # To the end: only then is what it wrote committed.
                found = connection.execute(statement, words).fetchall()
            except sqlite3.OperationalError as error:
                if not _in_the_way(error):
                    raise
                found = patiently(lambda: connection.execute(statement, words).fetchall(), deadline)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(error) from error
        finally:
            self._lock.release()
        return found[0] if found else None

    def another(self) -> sqlite3.Connection:
        """Open one more connection, for slow work beside the requests; hold ``apart``."""
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=_SETTLING,
            isolation_level=None,  # transactions begin where we say
            check_same_thread=False,
        )
        # NORMAL: with a write-ahead log no commit waits for the disk and none tears the file.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA page_size={PAGE}")
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

    def _ready(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        # A file that was moved away still counts for those who hold it, and for nobody else.
        found = os.stat(self.path)  # noqa: PTH116 - each request, half the cost of Path.stat
        if (found.st_dev, found.st_ino) != self._identity:
            raise FileNotFoundError(f"{self.path} was replaced under the running server")
        return self._connection

    def _open(self) -> sqlite3.Connection:
        # Made by us, so that there is no moment in which its mode is the umask's choice.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        found = self.path.stat()
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"others may open {self.path}; fix: chmod 600 {self.path}")
        connection = self.another()
        patiently(
            lambda: connection.execute("PRAGMA journal_mode=WAL"), time.monotonic() + _SETTLING
        )
        connection.execute("PRAGMA wal_autocheckpoint=16384")  # if no sweeper runs: 16 MiB of log
        connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        connection.execute("PRAGMA busy_timeout=0")  # from here on we wait ourselves
        self._identity = (found.st_dev, found.st_ino)
        _opened.add(self)
        return connection

    def before_fork(self) -> None:
        """Close everything: SQLite counts its locks in the process, and a child would inherit."""
        self.apart.acquire()
        self._lock.acquire()
        self._close()

    def after_fork(self) -> None:
        """Let threads on; in the child there are no others."""
        self._lock.release()
        self.apart.release()


def begin(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin to write, as soon as no other process does; raises OperationalError when late."""
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)


def patiently(work: Callable[[], T], deadline: float) -> T:
    """Do it again while another process is in the way; what that takes is some 20 microseconds."""
    pause = 0.00002
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not _in_the_way(error) or time.monotonic() >= deadline:
                raise
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - so that two do not keep step
        pause = min(pause * 2, 0.002)


def _in_the_way(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


_opened: weakref.WeakSet[Handle] = weakref.WeakSet()
_forking: list[Handle] = []


def _before_fork() -> None:
    _forking[:] = list(_opened)
    for handle in _forking:
        handle.before_fork()


def _after_fork() -> None:
    for handle in _forking:
        handle.after_fork()
    _forking.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
