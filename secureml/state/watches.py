"""How a process learns that another one has changed the store: one watch for each database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from secureml.state.engines import StoreUnavailable, connect

POLL_SECONDS = 0.5  # how old another host's change may be before it is seen

core_tables = sa.MetaData()
changes = sa.Table(
    "changes",
    core_tables,
    sa.Column("topic", sa.String(64), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)


class Closed(Exception):
    """A watch that was closed while another thread had it in hand."""


class Watch(Protocol):
    """What the store asks on each request."""

    def check(self) -> None:
        """Raise StoreUnavailable where what is open is no longer the store."""

    def versions(self) -> dict[str, int]:
        """Return how often each topic has changed; the same object while none has."""

    def close(self) -> None:
        """Release what is open."""


def watch(url: sa.URL, engine: sa.Engine, monotonic: Callable[[], float]) -> Watch:
    """Return the watch of a database; ``monotonic`` returns seconds that never go back."""
    if url.get_backend_name() == "sqlite":
        return _SqliteWatch(Path(url.database or ""))
    return _PollingWatch(engine, monotonic)


class _SqliteWatch:
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


class _PollingWatch:
    """Asks the database at most twice a second: a change elsewhere is seen within that time."""

    def __init__(self, engine: sa.Engine, monotonic: Callable[[], float]) -> None:
        self._engine, self._monotonic = engine, monotonic
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._versions: dict[str, int] = {}
        self._failures = 0
        self._failure: Exception | None = None

    def versions(self) -> dict[str, int]:
        failures = self._failures
        with self._lock:
            if self._failure is not None and self._failures != failures:
                # One asks for all that wait here: each in its turn would wait as long again.
                raise StoreUnavailable(_named(self._failure)) from self._failure
            if self._monotonic() >= self._due:
                self._ask()
            return self._versions

    def _ask(self) -> None:
        asked = self._monotonic()  # before: what it answers is no younger than the question
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(sa.select(changes.c.topic, changes.c.version))
                found = {row.topic: row.version for row in rows}
        except Exception as error:
            self._failures, self._failure = self._failures + 1, error
            raise
        self._failure = None
        if found != self._versions:
            self._versions = found
        self._due = asked + POLL_SECONDS

    def check(self) -> None:
        """Do nothing, as does ``close``: the files are the server's, the engine the store's."""

    close = check


def _named(error: Exception) -> str:
    return f"the store cannot be read ({type(getattr(error, 'orig', None) or error).__name__})"
