"""How every process learns that the store changed: a counter for each topic.

On SQLite the database's own change counter is shared memory, and costs a few microseconds; of
PostgreSQL it is asked at most once a second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from secureml.state.engines import StoreUnavailable, connect

POLL_SECONDS = 1.0  # how old another host's change may be before it is seen

metadata = sa.MetaData()
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("topic", sa.String(64), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)


class ChangeWatch(Protocol):
    """What a store asks for the counters, ``versions``; ``check`` that it may still be asked."""

    def check(self) -> None: ...
    def versions(self) -> dict[str, int]: ...
    def close(self) -> None: ...


def watch(url: sa.URL, engine: sa.Engine, monotonic: Callable[[], float]) -> ChangeWatch:
    """Return the one that suits a database."""
    if url.get_backend_name() == "sqlite":
        return SqliteWatch(Path(url.database or ""))
    return PollingWatch(engine, monotonic)


class Closed(Exception):
    """A watch that was closed while another thread had it in hand."""


class SqliteWatch:
    """Asks SQLite's data_version, which moves when any other connection commits.

    The connection here never writes, so it sees every commit of this process as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = connect(path)
        self._connection.execute("PRAGMA query_only=ON")
        self._identity = _identity(path)
        self._seen, self._closed = -1, False
        self._versions: dict[str, int] = {}

    def check(self) -> None:
        # A database that was moved away still answers its old handles, and takes what is
        # written to it: a revocation would be confirmed, and gone with the file.
        if _identity(self._path) != self._identity:
            raise StoreUnavailable("the database file was replaced under the running server")

    def versions(self) -> dict[str, int]:
        self.check()
        with self._lock:
            if self._closed:
                raise Closed
            (seen,) = self._connection.execute("PRAGMA data_version").fetchone()
            if seen != self._seen:
                rows = self._connection.execute("SELECT topic, version FROM changes")
                found = dict(rows.fetchall())
                # A commit that counts as no topic's change makes nothing cached untrue.
                if found != self._versions:
                    self._versions = found
                self._seen = seen
            return self._versions

    def close(self) -> None:
        # Closed under another thread that reads, SQLite ends the process.
        with self._lock:
            self._closed = True
            self._connection.close()


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - on every request, and half the cost of Path.stat
    return found.st_dev, found.st_ino


class PollingWatch:
    """Asks the database at most once a second: a change elsewhere is seen within that time."""

    def __init__(self, engine: sa.Engine, monotonic: Callable[[], float]) -> None:
        self._engine, self._monotonic = engine, monotonic
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._versions: dict[str, int] = {}

    def versions(self) -> dict[str, int]:
        with self._lock:
            if self._monotonic() >= self._due:
                with self._engine.connect() as connection:
                    rows = connection.execute(sa.select(changes.c.topic, changes.c.version))
                    found = {row.topic: row.version for row in rows}
                if found != self._versions:
                    self._versions = found
                self._due = self._monotonic() + POLL_SECONDS
            return self._versions

    def check(self) -> None:
        """Do nothing, as does ``close``: the files are the server's, the engine the store's."""

    close = check
