"""How each database is opened, and how a transaction begins in it.

Everything has a deadline. A write takes its lock immediately, and waits for the disk unless it
says that it need not last.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from secureml.state import postgresql

BUSY_SECONDS = 5.0  # how long a write may wait for another before it counts as failed


class StoreUnavailable(Exception):
    """The store cannot be read now; code that needs it refuses."""

    problem_code = "unavailable"


def engine_for(url: sa.URL, *, must_exist: bool = False) -> sa.Engine:
    """Return an engine that waits for nothing longer than BUSY_SECONDS; opens it at first use.

    Without ``must_exist`` a SQLite file that is not there is made.
    """
    if url.get_backend_name() != "sqlite":
        return postgresql.engine_for(url, BUSY_SECONDS)
    path = Path(url.database or "")
    _demand_file(path, must_exist=must_exist)
    engine = sa.create_engine(url, pool_timeout=BUSY_SECONDS, creator=lambda: connect(path))
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _demand_file(path: Path, *, must_exist: bool) -> None:
    # An empty store knows of no client, key or revocation: it must not take the place of one that
    # was moved away or misspelt. Where one is made, it is made by us, so that there is no moment
    # in which its mode is the umask's choice.
    os.close(os.open(path, os.O_RDWR | (0 if must_exist else os.O_CREAT), 0o600))
    found = path.stat()
    if must_exist and not found.st_size:
        raise StoreUnavailable("the file of the store is empty")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise StoreUnavailable(
            f"mode {mode:04o} lets other users open the store; fix: chmod 600 {path}"
        )


def connect(path: Path) -> sqlite3.Connection:
    """Open a SQLite file that is there."""
    # mode=rw: a file that is gone is a fault, and no reason to make an empty one.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # the driver's habit of starting transactions late; see _begin
        check_same_thread=False,  # the pool gives a connection to one thread at a time
    )


def _set_up(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL, where NORMAL is the habit with WAL: NORMAL may lose the last commits with the power,
    # and a revocation that was confirmed must not come undone. Writes are rare here.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("reads", False):
        connection.exec_driver_sql("BEGIN")
        return
    # Said at each write, because connections are shared in turn.
    level = "NORMAL" if options.get("hasty", False) else "FULL"
    connection.exec_driver_sql(f"PRAGMA synchronous={level}")
    # A writer takes its lock immediately: two that read first and then write would deadlock.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
