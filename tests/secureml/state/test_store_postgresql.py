"""The store on a real PostgreSQL: started here on a private socket, and ended again."""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa

from secureml.state import engines
from secureml.state.clients import Clients
from secureml.state.store import Store, StoreUnavailable

pytestmark = pytest.mark.live


@pytest.fixture
def server(postgresql):
    """The database that all tests of the session share."""
    return postgresql.url


@pytest.fixture
def fresh(postgresql):
    """A database of the test's own, still empty."""
    return postgresql.create_database()


def test_a_change_on_one_host_is_seen_by_another_within_a_second(server):
    """The other host's clock moves; nothing sleeps."""
    seconds = [0.0]
    one = Store(server)
    other = Store(server, monotonic=lambda: seconds[0])
    clients, elsewhere = Clients(one, lambda: 1.0), Clients(other, lambda: 1.0)
    clients.add("alice")

    assert elsewhere.get("alice").enabled
    clients.set_enabled("alice", enabled=False)
    seconds[0] += 1.0
    assert not elsewhere.get("alice").enabled
    one.close()
    other.close()


def _open_and_add(queue, start, url, name):
    start.wait(20)
    try:
        with closing(Store(url)) as store:
            Clients(store, lambda: 1.0).add(name)
        queue.put("added")
    except Exception as error:  # noqa: BLE001 - told to the parent, which asserts
        queue.put(repr(error))


def test_workers_that_start_together_on_an_empty_database_all_open_it(fresh):
    """Who makes the tables is settled between them."""
    spawn = multiprocessing.get_context("fork")
    queue, start, names = spawn.Queue(), spawn.Barrier(6), "abcdef"
    children = [
        spawn.Process(target=_open_and_add, args=(queue, start, fresh, name)) for name in names
    ]
    for child in children:
        child.start()
    assert [queue.get(timeout=30) for _ in children] == ["added"] * 6
    for child in children:
        child.join(20)
    with closing(Store(fresh)) as store:
        clients = Clients(store, lambda: 1.0)
        assert [client.name for client in clients.list()] == list(names)
        assert store.version("clients") == 6


def test_a_worker_waits_for_the_tables_longer_than_a_request_for_a_lock(fresh, monkeypatch):
    """Else the last of many that start together on a slow machine would not start at all."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.2)
    store, opened = Store(fresh), threading.Event()

    def open_it():
        store.version("topic")
        opened.set()

    engine = sa.create_engine(fresh)
    with closing(store):
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7365637572656)"))
            thread = threading.Thread(target=open_it)
            thread.start()
            assert not opened.wait(0.6)
        thread.join(20)
        assert opened.is_set()
        with store.read() as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "200ms"
    engine.dispose()


def test_what_the_database_refused_is_named_without_its_text(fresh, monkeypatch):
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.2)
    with (
        closing(Store(fresh)) as store,
        pytest.raises(StoreUnavailable, match=r"\(QueryCanceled\)$"),
        store.read() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(20)")


def test_two_first_changes_of_a_topic_at_once_are_two(fresh):
    """The second waits for the first, and neither fails on the other's row."""
    one, other = Store(fresh), Store(fresh)
    inside, counted = threading.Event(), threading.Event()

    def count():
        inside.wait(20)
        with other.begin() as connection:
            other.touch(connection, "topic")
        counted.set()

    with closing(one), closing(other):
        assert one.version("topic") == other.version("topic") == 0
        thread = threading.Thread(target=count)
        thread.start()
        with one.begin() as connection:
            one.touch(connection, "topic")
            inside.set()
            assert not counted.wait(0.2)
        thread.join(20)
        with closing(Store(fresh)) as third:
            assert third.version("topic") == 2


def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    """And asked again at the next request, not after the second."""
    pytest.importorskip("psycopg", reason="pip install psycopg[binary]")
    store = Store(f"postgresql+psycopg://postgres@/postgres?host={tmp_path}")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.version("clients")


def test_a_server_that_goes_away_is_unavailable_at_the_next_poll(fresh):
    """What was cached is believed for the second that is promised, and no longer."""
    seconds = [0.0]
    with closing(Store(fresh, monotonic=lambda: seconds[0])) as store:
        clients = Clients(store, lambda: 1.0)
        clients.add("alice")
        assert clients.get("alice").enabled
        with store.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE changes RENAME TO gone")
        assert clients.get("alice").enabled
        seconds[0] += 1.0
        with pytest.raises(StoreUnavailable):
            clients.get("alice")


def test_an_answer_that_takes_too_long_is_unavailable(fresh, monkeypatch):
    """No request waits for ever on a database that hangs."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.2)
    with closing(Store(fresh)) as store:
        with pytest.raises(StoreUnavailable), store.read() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(20)")
        assert store.version("clients") == 0


def test_a_write_that_need_not_last_waits_for_no_disk_and_is_seen_all_the_same(server):
    """In its own transaction alone: the next one on the same connection waits again."""
    store = Store(server)
    levels = []
    for durable in (False, True):
        with store.begin(durable=durable) as connection:
            shown = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
            levels.append(shown)
            store.touch(connection, "hasty")
    before = store.version("hasty")
    store.close()

    assert levels == ["off", "on"]
    assert before == 2
