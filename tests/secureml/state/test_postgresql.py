"""Nothing waits longer for PostgreSQL than it is told, also where the server keeps no deadline."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest
import sqlalchemy as sa

from secureml.state import engines
from secureml.state.clients import Clients
from secureml.state.postgresql import engine_for, wait_longer
from secureml.state.store import Store, StoreUnavailable

pytestmark = pytest.mark.live


@pytest.fixture
def fresh(postgresql):
    """A database of the test's own, still empty."""
    return postgresql.create_database()


@pytest.fixture
def hasty(fresh):
    """An engine whose statements wait a fifth of a second, and one connection in its pool."""
    engine = engine_for(sa.make_url(fresh), 0.2)
    yield engine
    engine.dispose()


def raw(connection):
    """Return the driver's own connection."""
    return connection.connection.dbapi_connection


def test_a_transaction_that_may_wait_longer_does_and_the_next_one_does_not(hasty):
    """On the same connection: what is said for one transaction ends with it."""
    with hasty.begin() as connection:
        first = raw(connection)
        wait_longer(connection, 60)
        assert first.patience > 60
        assert connection.exec_driver_sql("SELECT pg_sleep(0.4)").all()
    with hasty.begin() as connection:
        assert raw(connection) is first
        assert first.patience < 1
        with pytest.raises(sa.exc.OperationalError, match="statement timeout"):
            connection.exec_driver_sql("SELECT pg_sleep(20)")


def test_a_transaction_may_take_as_long_as_it_takes(hasty):
    """A revision of tables is no request."""
    with hasty.begin() as connection:
        wait_longer(connection, None)
        assert raw(connection).patience is None
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"


def test_a_server_that_is_held_still_is_unavailable(postgresql, fresh, monkeypatch):
    """Its own deadlines stand still with it, and the kernel's see every packet confirmed."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.2)
    seconds = [0.0]
    with closing(Store(fresh, monotonic=lambda: seconds[0])) as store:
        clients = Clients(store, lambda: 1.0)
        clients.add("alice")
        held = postgresql.freeze()
        try:
            seconds[0] += 1.0
            with pytest.raises(StoreUnavailable):
                clients.get("alice")
            with pytest.raises(StoreUnavailable), store.begin() as connection:
                store.touch(connection, "topic")
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        assert clients.get("alice").enabled
        assert store.version("topic") == 0
