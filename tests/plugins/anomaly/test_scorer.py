"""Counting is cheap and loses nothing; windows are scored once, in the background."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from plugins.anomaly.blocks import Blocks
from plugins.anomaly.decision import Policy
from plugins.anomaly.scorer import Schedule, Scorer
from plugins.anomaly.window import Observation
from plugins.anomaly.window_store import WindowStore
from secureml import Store, StoreUnavailable
from secureml.testing import Clock
from tests import anomaly_traffic as traffic

WHO = "address:192.0.2.1"
FINE = Observation(200, traffic.PREDICT, 1, 500, flagged=False, labels=[1])


class Worker:
    """One process's watcher on a store that others share."""

    def __init__(self, url, clock, action="ban", baseline=None):
        self.store, self.reported = Store(url), []
        self.blocks = Blocks(self.store, clock)
        self.window_store = WindowStore(self.store, clock, 1000)
        policy = Policy("alert", action, 2, 900.0)
        self.scorer = Scorer(
            self.window_store,
            self.blocks,
            Schedule(60.0, 0.05),
            policy,
            10,
            clock,
            self.reported.append,
        )
        self.scorer.baseline = lambda: baseline


@pytest.fixture(scope="module")
def usual():
    return traffic.trained(500)


@pytest.fixture
def clock():
    return Clock(6000.0)


@pytest.fixture
def worker(tmp_path, clock, usual):
    made = []

    def make(**options):
        made.append(
            Worker(f"sqlite:///{tmp_path / 's.db'}", clock, **{"baseline": usual} | options)
        )
        return made[-1]

    yield make
    for each in made:
        each.scorer.close()
        each.store.close()


def unavailable(windows):
    raise StoreUnavailable


def scan(worker, seed=1):
    rng = np.random.default_rng(seed)
    for word in rng.integers(0, 999, 60):
        worker.scorer.count((WHO,), traffic.request(rng, status=404, path=f"/{word}", size=0))


def test_an_attack_spread_over_two_workers_is_one_attack(worker, clock):
    one, other = worker(), worker()
    one.scorer.score_windows()  # from now on windows are scored
    for _ in range(2):
        clock.advance(60)
        scan(one), scan(other, 2)
        one.scorer.flush(), other.scorer.flush()
    assert one.window_store.complete(6060, 6120)[WHO, 6060.0].requests == 120
    clock.advance(61)
    actions = one.scorer.score_windows()
    assert [action.score.streak for action in actions] == [1, 2]
    assert other.blocks.find(WHO).kind == "ban"
    assert other.scorer.score_windows() == []
    assert len(one.reported) == 2


def test_who_was_lifted_is_not_blocked_for_what_lies_before(worker, clock):
    one = worker()
    one.scorer.score_windows()
    for _ in range(3):
        clock.advance(60)
        scan(one)
        one.scorer.flush()
    clock.advance(1)
    one.scorer.score_windows()  # two windows are complete: blocked
    assert one.blocks.lift(WHO)
    clock.advance(60)  # and now the third
    assert one.scorer.score_windows() == []
    assert one.blocks.find(WHO) is None

    scan(one)
    one.scorer.flush()
    clock.advance(61)
    [action] = one.scorer.score_windows()
    assert action.score.streak == 1  # it begins anew
    assert one.blocks.find(WHO) is None


def test_a_window_that_is_not_over_is_not_scored(worker, clock):
    one = worker()
    one.scorer.score_windows()
    clock.advance(60)
    scan(one)
    one.scorer.flush()
    assert one.scorer.score_windows() == []


def test_a_few_requests_have_no_score(worker, clock):
    one = worker()
    one.scorer.score_windows()
    clock.advance(60)
    for _ in range(9):
        one.scorer.count((WHO,), FINE._replace(status=404))
    one.scorer.flush()
    clock.advance(61)
    assert one.scorer.score_windows() == []


def test_without_training_it_only_counts(worker, clock):
    one = worker(baseline=None)
    scan(one)
    one.scorer.flush()
    clock.advance(200)
    assert one.scorer.score_windows() == []
    assert one.window_store.complete(0, 1e9)


def test_what_could_not_be_written_is_written_later(worker, monkeypatch):
    one = worker()
    one.scorer.count((WHO,), FINE)
    with monkeypatch.context() as broken:
        broken.setattr(one.window_store, "write", unavailable)
        with pytest.raises(StoreUnavailable):
            one.scorer.flush()
        one.scorer.count((WHO,), FINE)
    one.scorer.flush()
    assert sum(window.requests for window in one.window_store.complete(0, 1e9).values()) == 2


def test_many_subjects_cost_bounded_memory(worker, monkeypatch):
    monkeypatch.setattr("plugins.anomaly.scorer.MAX_SUBJECTS", 5)
    one = worker()
    for number in range(20):
        one.scorer.count((f"address:192.0.2.{number}",), FINE)
    one.scorer.flush()
    assert len(one.window_store.complete(0, 1e9)) == 5
    assert one.scorer.dropped == 15


def test_the_thread_writes_and_survives_a_store_that_fails(worker, monkeypatch, caplog):
    one = worker()
    failed = threading.Event()

    def fail(windows):
        failed.set()
        raise StoreUnavailable

    monkeypatch.setattr(one.window_store, "write", fail)
    one.scorer.count((WHO,), FINE)
    one.scorer.start()
    assert failed.wait(10)
    monkeypatch.undo()
    deadline = time.monotonic() + 10
    while not one.window_store.complete(0, 1e9):
        assert time.monotonic() < deadline
    assert "could not be written" in caplog.text


def test_closing_writes_what_is_left(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    one = Worker(url, clock)
    one.scorer._schedule.flush = 5.0
    one.scorer.count((WHO,), FINE)
    one.scorer.start()
    one.scorer.close()
    with closing(Store(url)) as store:
        assert WindowStore(store, clock, 10).complete(0, 1e9)
    one.store.close()


def test_a_forked_worker_counts_for_itself(worker):
    """It has neither its parent's counts, which the parent writes, nor its parent's thread."""
    one = worker()
    one.scorer.count((WHO,), FINE)
    one.scorer.start()
    one.scorer._schedule.flush = 5.0
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        one.scorer.count((WHO,), FINE)
        counts = sum(window.requests for window in one.scorer._counts.values())
        os.write(writing, f"{counts} {one.scorer._thread}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"1 None"


@pytest.mark.parametrize(
    ("now", "start", "until"),
    [(0.0, 0.0, -60.0), (59.9, 0.0, 0.0), (60.0, 60.0, 0.0), (121.0, 120.0, 60.0)],
)
def test_a_window_is_complete_when_two_flushes_have_passed_since(now, start, until):
    schedule = Schedule(60.0, 10.0)
    assert (schedule.start(now), schedule.scored_until(now)) == (start, until)


def test_a_clock_that_was_set_back_scores_no_window_twice(worker, clock):
    one = worker()
    one.scorer.score_windows()
    clock.advance(60)
    scan(one)
    one.scorer.flush()
    clock.advance(61)
    assert len(one.scorer.score_windows()) == 1
    clock.advance(-100)
    assert one.scorer.score_windows() == []
    clock.advance(101)
    assert one.scorer.score_windows() == []
