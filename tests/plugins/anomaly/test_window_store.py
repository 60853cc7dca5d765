"""Windows of all workers are added up, scored once, by one, and none is lost with a worker."""

from __future__ import annotations

from contextlib import closing

import pytest
import sqlalchemy as sa

from plugins.anomaly import window_store
from plugins.anomaly.window import Window
from plugins.anomaly.window_store import SubjectScore, WindowStore
from secureml import Store
from secureml.testing import Clock


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def workers(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [WindowStore(store, clock, max_rows=5) for store in (one, other)]


def save_scores(window_store, holder, scored_until, scores=()):
    with window_store.begin() as connection:
        return window_store.save_scores(connection, holder, scored_until, scores)


def test_what_two_workers_counted_is_one_window(workers):
    one, other = workers
    one.write({("client:a", 60.0): Window(requests=3, paths=1)})
    other.write({("client:a", 60.0): Window(requests=4, paths=2), ("client:b", 60.0): Window(1)})
    one.write({("client:a", 60.0): Window(requests=1)})
    found = one.complete(0, 120)
    assert found["client:a", 60.0].requests == 8
    assert found["client:a", 60.0].paths == 3
    assert found["client:b", 60.0].requests == 1
    assert one.complete(120, 180) == {}


def test_one_worker_has_the_lease_and_another_when_it_is_gone(workers, clock):
    one, other = workers
    assert one.lease("one", 60) == clock()
    assert other.lease("other", 60) is None
    assert one.lease("one", 60) is not None
    clock.advance(61)
    assert other.lease("other", 60) is not None
    assert one.lease("one", 60) is None


def test_a_worker_that_lost_its_lease_saves_no_scores(workers, clock):
    one, other = workers
    begun = one.lease("one", 60)
    clock.advance(61)
    other.lease("other", 60)
    assert not save_scores(one, "one", begun + 60, [SubjectScore("client:a", 0.0, 0.9, 1, [])])
    assert one.scores() == {}
    assert save_scores(other, "other", begun + 60, [SubjectScore("client:a", 0.0, 0.9, 1, [])])
    assert one.scores()["client:a"].streak == 1


def test_windows_are_scored_once(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    assert save_scores(one, "one", begun + 60)
    assert not save_scores(one, "one", begun + 60)
    assert one.lease("one", 60) == begun + 60


def test_the_newest_score_counts(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    save_scores(one, "one", begun + 60, [SubjectScore("client:a", 0.0, 0.9, 1, [["x", 1, 0, 0]])])
    save_scores(one, "one", begun + 120, [SubjectScore("client:a", 60.0, 0.4, 0, [])])
    assert one.scores(["client:a"])["client:a"] == SubjectScore("client:a", 60.0, 0.4, 0, [])


def test_only_so_many_rows_are_kept(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    for number in range(20):
        one.write({("client:a", float(number)): Window(requests=1)})
    save_scores(one, "one", begun + 60)
    assert len(one.complete(0, 100)) == 5
    assert min(start for _, start in one.complete(0, 100)) == 15.0


def rows_in(store, table):
    with store.read() as connection:
        return connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_attack_windows_have_an_end_while_nobody_has_trained(workers):
    """Nobody has ever held the lease, as on every new server."""
    one, other = workers
    for number in range(40):
        (one, other)[number % 2].write(
            {(f"address:192.0.2.{number}", 60.0 * each): Window(requests=1) for each in range(3)}
        )
        assert rows_in(one._store, "anomaly_windows") <= 5
    assert {subject for subject, _ in one.complete(0, 1e12)} == {"address:192.0.2.38",
                                                             "address:192.0.2.39"}  # fmt: skip


def test_attack_an_address_that_was_scored_once_is_not_kept_for_ever(workers, monkeypatch):
    """The oldest scores are deleted, however many addresses a stranger has."""
    monkeypatch.setattr(window_store, "MAX_SCORES", 10)
    one, _ = workers
    begun = one.lease("one", 60)
    for number in range(1, 30):
        start = 60.0 * number
        found = [SubjectScore(f"address:{number}.{each}", start, 0.9, 1, []) for each in "ab"]
        assert save_scores(one, "one", begun + 60 * number, found)
        assert rows_in(one._store, "anomaly_scores") <= 10
    assert set(one.scores()) == {f"address:{n}.{each}" for n in range(25, 30) for each in "ab"}


def test_nothing_counted_is_nothing_written(workers):
    workers[0].write({})
    assert workers[0].complete(0, 1e12) == {}
