"""The store: what outlives a request, and how every worker learns that it changed.

SQLite in the instance folder by default, PostgreSQL by URL for several hosts. Nothing is
opened before first use, and each process opens its own: Gunicorn loads the app and forks.
What is open is closed before a fork: SQLite counts its locks in the process, and a child
that inherits the count takes none of its own.

``version(topic)`` is read on every request before anything cached is used. On SQLite
it costs a few microseconds, because the database's own change counter is shared memory.
A store that cannot answer raises StoreUnavailable, and the request fails closed: what was
true a moment ago is no permission now.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

from secureml.state.engines import StoreUnavailable as StoreUnavailable  # noqa: PLC0414 - handed on from here
from secureml.state.engines import engine_for
from secureml.state.outage_log import OutageLog
from secureml.state.schema import (
    demand_current,
    known_revisions,
    make_all_tables,
    make_tables,
)
from secureml.state.watches import Closed, Watch, core_tables, watch

# One statement for both databases: two concurrent first changes are counted as two.
_COUNT = sa.text(
    "INSERT INTO changes (topic, version) VALUES (:topic, 1) "
    "ON CONFLICT (topic) DO UPDATE SET version = changes.version + 1"
)


class Snapshot(threading.local):
    """What the request in this thread has seen of the store: it looks once, and then goes on
    from what was true when it looked. Whatever it writes itself makes it look again."""

    inside = False
    versions: Mapping[str, int] | None = None

    def __enter__(self) -> None:
        self.inside, self.versions = True, None

    def __exit__(self, *_: object) -> None:
        self.inside, self.versions = False, None


class Store:
    """Tables for the core and for plugins, transactions, and the counters of what changed."""

    def __init__(
        self, url: str, *, must_exist: bool = False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Open nothing yet. With ``must_exist`` a SQLite file that is missing is never made."""
        self._url, self._must_exist = sa.make_url(url), must_exist
        self._monotonic = monotonic
        self._metadata = [core_tables]
        self._lock = threading.Lock()
        self._pid = 0
        self._engine: sa.Engine | None = None
        self._watch: Watch | None = None
        self.snapshot = Snapshot()
        self.trouble = OutageLog(_place(self._url), monotonic)

    def register(self, metadata: sa.MetaData) -> None:
        """Have these tables made when the store is first opened; their names begin with yours.

        On a store that is open already, as in a test, they are made immediately. Raises ConfigError
        where their revisions cannot be found (see ``secureml/state/schema.py``).
        """
        known_revisions(metadata)
        with self._lock:
            if metadata in self._metadata:
                return
            self._metadata.append(metadata)
            if self._engine is not None and self._pid == os.getpid():
                with self._engine.begin() as connection:
                    make_tables(connection, [metadata])

    @property
    def url(self) -> sa.URL:
        """Where the database is; may hold a password."""
        return self._url

    @property
    def table_sets(self) -> tuple[sa.MetaData, ...]:
        """What was registered, and the store's own tables."""
        return tuple(self._metadata)

    def demand_current_schema(self) -> None:
        """Raise SchemaMismatch where tables are of another version of the code.

        For a start: makes nothing, and leaves nothing open. Raises StoreUnavailable.
        """
        engine = engine_for(self._url, must_exist=self._must_exist)
        try:
            with engine.connect() as connection:
                demand_current(connection.execution_options(reads=True), self._metadata)
        except (sa.exc.DBAPIError, sqlite3.Error, OSError) as error:
            raise StoreUnavailable("the store cannot be read") from error
        finally:
            engine.dispose()

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that may write; commit unless it raises.

        What is not ``durable`` is seen by every worker just the same and costs no wait for the
        disk, but the last moments of it may be lost with the power.
        """
        try:
            with self._map_errors(), self._open()[0].connect() as connection:
                connection.execution_options(hasty=not durable)
                with connection.begin():
                    yield connection
        finally:
            self.snapshot.versions = None

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that only reads."""
        with self._map_errors(), self._open()[0].connect() as connection:
            yield connection.execution_options(reads=True)

    def touch(self, connection: sa.Connection, topic: str) -> None:
        """Count a change of ``topic`` in the caller's transaction, so both are seen or neither."""
        connection.execute(_COUNT, {"topic": topic})

    def version(self, topic: str) -> int:
        """Return how often ``topic`` has changed.

        Raises StoreUnavailable: the caller then refuses, whatever it has cached.
        """
        return self.versions().get(topic, 0)

    def versions(self) -> Mapping[str, int]:
        """Return how often each topic has changed; on the path of every request.

        While nothing at all has changed it is the very same object, so ``is`` is enough to
        know that what was cached is still true. Inside a request (``with store.glance``) the
        database is asked once.
        """
        snapshot = self.snapshot
        if snapshot.versions is not None:
            return snapshot.versions
        found = self._look()
        if snapshot.inside:
            snapshot.versions = found
        return found

    def _look(self) -> Mapping[str, int]:
        while True:
            try:
                return self._ask()
            except Closed:
                continue  # after it was found here, by a fork in another thread

    def _ask(self) -> Mapping[str, int]:
        found = self._watch
        if found is not None and self._pid == os.getpid() and not self.trouble.away:
            try:
                return found.versions()
            except (sa.exc.DBAPIError, sqlite3.Error, OSError, StoreUnavailable) as error:
                raise self._away(error) from error
        with self._map_errors():
            return self._open()[1].versions()

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        """Turn a database that fails into StoreUnavailable; a broken rule of its tables stays."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.DBAPIError, sa.exc.TimeoutError, sqlite3.Error, OSError) as error:
            raise self._away(error) from error
        except StoreUnavailable as error:
            raise self._away(error) from error.__cause__
        else:
            if self.trouble.away:
                self.trouble.found()

    def _away(self, error: Exception) -> StoreUnavailable:
        missing = isinstance(error, FileNotFoundError)
        if isinstance(error, StoreUnavailable):
            found = error
        else:
            # The driver's own class says more than the one it is wrapped in: LockNotAvailable,
            # QueryCanceled, AdminShutdown. Its text may hold a URL or a row, and is left out.
            kind = getattr(error, "orig", None) or error
            found = StoreUnavailable(f"the store cannot be read ({type(kind).__name__})")
        self.trouble.lost("its file is missing" if missing else str(found))
        return found

    def close(self) -> None:
        """Release what this process holds."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._watch is not None and self._pid == os.getpid():
            self._watch.close()
        if self._engine is not None:
            self._engine.dispose(close=self._pid == os.getpid())
        self._engine = self._watch = None

    def before_fork(self) -> None:
        """Release all, and let no other thread open it again before the child is there."""
        self._lock.acquire()
        self._release()

    def after_fork(self) -> None:
        """Let it be opened again; in the child there are no other threads."""
        self._lock.release()

    def _open(self) -> tuple[sa.Engine, Watch]:
        with self._lock:
            if self._engine is None or self._watch is None or self._pid != os.getpid():
                # Handles made before a fork are the parent's: they are left, never closed.
                engine = engine_for(self._url, must_exist=self._must_exist)
                try:
                    make_all_tables(engine, self._metadata)
                except BaseException:
                    engine.dispose()
                    raise
                self._watch = watch(self._url, engine, self._monotonic)
                self._engine, self._pid = engine, os.getpid()
                _opened.add(self)
            self._watch.check()
            return self._engine, self._watch


_opened: weakref.WeakSet[Store] = weakref.WeakSet()


_forking: list[Store] = []


def _before_fork() -> None:
    _forking[:] = list(_opened)
    for store in _forking:
        store.before_fork()


def _after_fork() -> None:
    for store in _forking:
        store.after_fork()
    _forking.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _place(url: sa.URL) -> str:
    # Of PostgreSQL no more than that: its URL may hold a password.
    return str(url.database) if url.get_backend_name() == "sqlite" else url.get_backend_name()
