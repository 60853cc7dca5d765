"""How a process learns of changes where no file tells it: it asks, for all that wait."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from secureml.state.store import Store, StoreUnavailable
from secureml.state.watches import POLL_SECONDS, watch

PLACE = sa.make_url("postgresql+psycopg://postgres@/postgres")


@pytest.fixture
def asked(tmp_path):
    """A store, an engine over its file, and a clock: the watch of several hosts, without any."""
    store = Store(f"sqlite:///{tmp_path / 'secureml.db'}")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'secureml.db'}")
    yield store, engine, [0.0]
    engine.dispose()
    store.close()


def change(store):
    with store.begin() as connection:
        store.touch(connection, "notes")


def test_the_database_is_asked_at_most_twice_a_second(asked):
    """And a change is seen at the next time."""
    store, engine, seconds = asked
    change(store)
    other = watch(PLACE, engine, lambda: seconds[0])
    first = other.versions()
    change(store)

    assert other.versions() is first
    seconds[0] += POLL_SECONDS
    second = other.versions()
    assert (first, second) == ({"notes": 1}, {"notes": 2})
    seconds[0] += POLL_SECONDS
    assert other.versions() is second
    other.close()


def test_a_change_arrives_within_the_second_that_is_promised():
    """With time to spare for the question itself."""
    assert POLL_SECONDS <= 0.5


def test_an_answer_is_as_old_as_its_question(asked):
    """A worker that was held up in between would use it longer than is promised."""
    store, engine, seconds = asked
    change(store)

    class Slow:
        """The same database, and the time that its answer takes."""

        def connect(self):
            seconds[0] += 2 * POLL_SECONDS
            return engine.connect()

    other = watch(PLACE, Slow(), lambda: seconds[0])
    first = other.versions()
    change(store)

    assert (first, other.versions()) == ({"notes": 1}, {"notes": 2})


class Hanging:
    """An engine whose database answers nobody: who asks is let go when the test says so."""

    def __init__(self):
        self.asked, self.let_go = threading.Semaphore(0), threading.Event()
        self.count = 0

    def connect(self):
        self.count += 1
        self.asked.release()
        assert self.let_go.wait(20)
        raise OSError("it does not answer")


def test_what_one_has_waited_for_in_vain_the_others_do_not_wait_for_again():
    """Else the last of forty threads would wait forty times as long as a request may."""
    engine, entered, failed = Hanging(), threading.Semaphore(0), []

    class Counted:
        """The lock of the watch, which says who stands before it."""

        def __init__(self, lock):
            self._lock = lock

        def __enter__(self):
            entered.release()
            self._lock.acquire()

        def __exit__(self, *_):
            self._lock.release()

    found = watch(PLACE, engine, lambda: 0.0)
    found._lock = Counted(found._lock)

    def ask():
        with pytest.raises((OSError, StoreUnavailable)) as caught:
            found.versions()
        failed.append(type(caught.value))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert entered.acquire(timeout=20)
    assert engine.asked.acquire(timeout=20)
    engine.let_go.set()
    for thread in threads:
        thread.join(20)

    assert engine.count == 1
    assert sorted(kind.__name__ for kind in failed) == ["OSError", *["StoreUnavailable"] * 4]
    with pytest.raises(OSError):  # who comes later asks anew
        found.versions()
    assert engine.count == 2
