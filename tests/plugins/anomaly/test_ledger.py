"""Windows of all workers are added up, judged once, by one, and none is lost with a worker."""

from __future__ import annotations

from contextlib import closing

import pytest
import sqlalchemy as sa

from plugins.anomaly import ledger
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


def rows_in(store, table):
    with store.read() as connection:
        return connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_attack_windows_have_an_end_while_nobody_has_trained(workers):
    """No judge has ever held a lease, as on every new server."""
    one, other = workers
    for number in range(40):
        (one, other)[number % 2].write(
            {(f"address:192.0.2.{number}", 60.0 * each): Window(requests=1) for each in range(3)}
        )
        assert rows_in(one._store, "anomaly_windows") <= 5
    assert {subject for subject, _ in one.whole(0, 1e12)} == {"address:192.0.2.38",
                                                             "address:192.0.2.39"}  # fmt: skip


def test_attack_an_address_that_was_judged_once_is_not_kept_for_ever(workers, monkeypatch):
    """Of verdicts the oldest give way, however many addresses a stranger has."""
    monkeypatch.setattr(ledger, "MOST_VERDICTS", 10)
    one, _ = workers
    begun = one.lease("one", 60)
    for number in range(1, 30):
        found = [Standing(f"address:{number}.{each}", 60.0 * number, 0.9, 1, []) for each in "ab"]
        assert settle(one, "one", begun + 60 * number, found)
        assert rows_in(one._store, "anomaly_verdicts") <= 10
    assert set(one.standings()) == {f"address:{n}.{each}" for n in range(25, 30) for each in "ab"}


def test_nothing_counted_is_nothing_written(workers):
    workers[0].write({})
    assert workers[0].whole(0, 1e12) == {}
