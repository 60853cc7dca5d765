"""Windows of all workers are added up, judged once, by one, and none is lost with a worker."""

from __future__ import annotations

from contextlib import closing

import pytest

from plugins.anomaly.ledger import Ledger, Standing
from plugins.anomaly.window import Window
from secureml import Store
from secureml.testing import Clock


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def workers(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield [Ledger(store, clock, keep=5) for store in (one, other)]


def settle(ledger, holder, judged, standings=()):
    with ledger.begin() as connection:
        return ledger.settle(connection, holder, judged, standings)


def test_what_two_workers_counted_is_one_window(workers):
    one, other = workers
    one.write({("client:a", 60.0): Window(requests=3, paths=1)})
    other.write({("client:a", 60.0): Window(requests=4, paths=2), ("client:b", 60.0): Window(1)})
    one.write({("client:a", 60.0): Window(requests=1)})
    found = one.whole(0, 120)
    assert found["client:a", 60.0].requests == 8
    assert found["client:a", 60.0].paths == 3
    assert found["client:b", 60.0].requests == 1
    assert one.whole(120, 180) == {}


def test_one_worker_judges_and_another_when_it_is_gone(workers, clock):
    one, other = workers
    assert one.lease("one", 60) == clock()
    assert other.lease("other", 60) is None
    assert one.lease("one", 60) is not None
    clock.advance(61)
    assert other.lease("other", 60) is not None
    assert one.lease("one", 60) is None


def test_a_worker_that_lost_its_lease_settles_nothing(workers, clock):
    one, other = workers
    begun = one.lease("one", 60)
    clock.advance(61)
    other.lease("other", 60)
    assert not settle(one, "one", begun + 60, [Standing("client:a", 0.0, 0.9, 1, [])])
    assert one.standings() == {}
    assert settle(other, "other", begun + 60, [Standing("client:a", 0.0, 0.9, 1, [])])
    assert one.standings()["client:a"].streak == 1


def test_windows_are_judged_once(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    assert settle(one, "one", begun + 60)
    assert not settle(one, "one", begun + 60)
    assert one.lease("one", 60) == begun + 60


def test_the_newest_verdict_stands(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    settle(one, "one", begun + 60, [Standing("client:a", 0.0, 0.9, 1, [["x", 1, 0, 0]])])
    settle(one, "one", begun + 120, [Standing("client:a", 60.0, 0.4, 0, [])])
    assert one.standings(["client:a"])["client:a"] == Standing("client:a", 60.0, 0.4, 0, [])


def test_only_so_many_rows_are_kept(workers):
    one, _ = workers
    begun = one.lease("one", 60)
    for number in range(20):
        one.write({("client:a", float(number)): Window(requests=1)})
    settle(one, "one", begun + 60)
    assert len(one.whole(0, 100)) == 5
    assert min(start for _, start in one.whole(0, 100)) == 15.0


def test_nothing_counted_is_nothing_written(workers):
    workers[0].write({})
    assert workers[0].whole(0, 1e12) == {}
