"""An engine for PostgreSQL in which nothing waits longer than it is told.

The server's own deadlines (``statement_timeout``) and the kernel's (``tcp_user_timeout``) end
what is slow and what is cut off. A server that is stopped without being cut off keeps neither: its
kernel confirms every packet. So the connection itself counts the seconds as well.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

_MARGIN = 0.5  # seconds; the server's own deadline comes first, and says what was waited for
# Before a connection of the pool is used it is tried, and where it is dead another one is made:
# both together take no longer than a statement may. In seconds.
_TRY_SECONDS, _CONNECT_SECONDS = 1.0, 3


def engine_for(url: sa.URL, seconds: float) -> sa.Engine:
    """Return an engine whose statements wait ``seconds`` at most; opens nothing yet."""
    limit = round(seconds * 1000)  # libpq waits no longer than this for anything
    options = f"-c statement_timeout={limit} -c lock_timeout={limit}"
    words = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": limit, "options": options}
    engine = sa.create_engine(url, connect_args=words, pool_pre_ping=True, pool_timeout=seconds)
    event.listen(engine, "begin", _begin)
    if url.get_driver_name() == "psycopg":
        bounded = _bounded_class()

        def connect(dialect: object, record: object, words: Any, options: Any) -> Any:
            return bounded.connect(*words, **options)

        def use(connection: Any, record: object, proxy: object) -> None:
            connection.patience = seconds + _MARGIN

        def put_back(connection: Any, record: object) -> None:
            if connection is not None:
                connection.patience = _TRY_SECONDS

        event.listen(engine, "do_connect", connect)
        event.listen(engine, "checkout", use)
        event.listen(engine, "checkin", put_back)
    return engine


def wait_longer(connection: sa.Connection, seconds: float | None) -> None:
    """Let the statements of this transaction wait ``seconds``, None for as long as they take."""
    # Without a server's deadline of their own they may compute as long as they like.
    limit = 0 if seconds is None else round(seconds * 1000)
    for name in ("lock_timeout", "statement_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {name} = {limit}")
    raw: Any = connection.connection.dbapi_connection
    if hasattr(raw, "patience"):
        raw.patience = None if seconds is None else seconds + _MARGIN


def _bounded_class() -> Any:
    psycopg = import_module("psycopg")
    expired = import_module("psycopg.errors")._WaitTimeout  # noqa: SLF001 - it has no other name

    class BoundedConnection(psycopg.Connection):  # type: ignore[misc,name-defined]
        """Gives up an answer that does not come, and the connection with it."""

        patience: float | None = _CONNECT_SECONDS  # for what a new one is set up with

        def wait(self, gen: Any, *words: Any, **options: Any) -> Any:
            options["timeout"] = self.patience
            try:
                return super().wait(gen, *words, **options)
            except expired:
                # An answer that comes after all would be read as that of the next statement.
                self.pgconn.finish()
                raise psycopg.OperationalError("the server does not answer") from None

    return BoundedConnection


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("hasty", False):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
