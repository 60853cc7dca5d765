"""Counting is cheap and loses nothing; judging happens once, elsewhere, and is told."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from plugins.anomaly.bars import Bars
from plugins.anomaly.guard import Terms
from plugins.anomaly.ledger import Ledger
from plugins.anomaly.watcher import Spans, Watcher
from plugins.anomaly.window import Fact
from secureml import Store, StoreUnavailable
from secureml.testing import Clock
from tests import anomaly_traffic as traffic

WHO = "address:192.0.2.1"
FINE = Fact(200, traffic.PREDICT, 1, 500, flagged=False, labels=[1])


class Worker:
    """One process's watcher on a store that others share."""

    def __init__(self, url, clock, act="ban", baseline=None):
        self.store, self.emitted = Store(url), []
        self.bars, self.ledger = Bars(self.store, clock), Ledger(self.store, clock, 1000)
        terms = Terms("alert", act, 2, 900.0)
        spans = Spans(60.0, 0.05)
        self.watcher = Watcher(self.ledger, self.bars, spans, terms, 10, clock, self.emitted.append)
        self.watcher.baseline = lambda: baseline


@pytest.fixture(scope="module")
def usual():
    return traffic.trained(500)


@pytest.fixture
def clock():
    return Clock(6000.0)


@pytest.fixture
def worker(tmp_path, clock, usual):
    made = []

    def make(**words):
        made.append(Worker(f"sqlite:///{tmp_path / 's.db'}", clock, **{"baseline": usual, **words}))
        return made[-1]

    yield make
    for each in made:
        each.watcher.close()
        each.store.close()


def scan(worker, seed=1):
    dice = np.random.default_rng(seed)
    for word in dice.integers(0, 999, 60):
        worker.watcher.note((WHO,), traffic.asked(dice, status=404, path=f"/{word}", size=0))


def test_an_attack_spread_over_two_workers_is_one_attack(worker, clock):
    one, other = worker(), worker()
    one.watcher.judge()  # from now on windows are judged
    for _ in range(2):
        clock.advance(60)
        scan(one), scan(other, 2)
        one.watcher.flush(), other.watcher.flush()
    assert one.ledger.whole(6060, 6120)[WHO, 6060.0].requests == 120
    clock.advance(61)
    deeds = one.watcher.judge()
    assert [deed.standing.streak for deed in deeds] == [1, 2]
    assert other.bars.standing(WHO).kind == "ban"
    assert other.watcher.judge() == []
    assert len(one.emitted) == 2


def test_who_was_let_in_again_is_not_barred_for_what_lies_before(worker, clock):
    one = worker()
    one.watcher.judge()
    for _ in range(3):
        clock.advance(60)
        scan(one)
        one.watcher.flush()
    clock.advance(1)
    one.watcher.judge()  # two windows are whole: barred
    assert one.bars.lift(WHO)
    clock.advance(60)  # and now the third
    assert one.watcher.judge() == []
    assert one.bars.standing(WHO) is None

    scan(one)
    one.watcher.flush()
    clock.advance(61)
    [deed] = one.watcher.judge()
    assert deed.standing.streak == 1  # it begins anew
    assert one.bars.standing(WHO) is None


def test_a_window_that_is_not_over_is_not_judged(worker, clock):
    one = worker()
    one.watcher.judge()
    clock.advance(60)
    scan(one)
    one.watcher.flush()
    assert one.watcher.judge() == []


def test_of_a_few_requests_nothing_is_said(worker, clock):
    one = worker()
    one.watcher.judge()
    clock.advance(60)
    for _ in range(9):
        one.watcher.note((WHO,), FINE._replace(status=404))
    one.watcher.flush()
    clock.advance(61)
    assert one.watcher.judge() == []


def test_without_training_it_only_counts(worker, clock):
    one = worker(baseline=None)
    scan(one)
    one.watcher.flush()
    clock.advance(200)
    assert one.watcher.judge() == []
    assert one.ledger.whole(0, 1e9)


def test_what_could_not_be_written_is_written_later(worker, monkeypatch):
    one = worker()
    one.watcher.note((WHO,), FINE)
    with monkeypatch.context() as broken:
        broken.setattr(one.ledger, "write", lambda windows: (_ for _ in ()).throw(StoreUnavailable))
        with pytest.raises(StoreUnavailable):
            one.watcher.flush()
        one.watcher.note((WHO,), FINE)
    one.watcher.flush()
    assert sum(window.requests for window in one.ledger.whole(0, 1e9).values()) == 2


def test_many_subjects_cost_bounded_memory(worker, monkeypatch):
    monkeypatch.setattr("plugins.anomaly.watcher.MOST_SUBJECTS", 5)
    one = worker()
    for number in range(20):
        one.watcher.note((f"address:192.0.2.{number}",), FINE)
    one.watcher.flush()
    assert len(one.ledger.whole(0, 1e9)) == 5
    assert one.watcher.overlooked == 15


def test_the_thread_writes_and_survives_a_store_that_is_away(worker, monkeypatch, caplog):
    one = worker()
    failed = threading.Event()

    def fail(windows):
        failed.set()
        raise StoreUnavailable

    monkeypatch.setattr(one.ledger, "write", fail)
    one.watcher.note((WHO,), FINE)
    one.watcher.run()
    assert failed.wait(10)
    monkeypatch.undo()
    deadline = time.monotonic() + 10
    while not one.ledger.whole(0, 1e9):
        assert time.monotonic() < deadline
    assert "could not be written" in caplog.text


def test_closing_writes_what_is_left(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 's.db'}"
    one = Worker(url, clock)
    one.watcher._spans.flush = 5.0
    one.watcher.note((WHO,), FINE)
    one.watcher.run()
    one.watcher.close()
    with closing(Store(url)) as store:
        assert Ledger(store, clock, 10).whole(0, 1e9)
    one.store.close()


def test_a_forked_worker_counts_for_itself(worker):
    """It has neither its parent's counts, which the parent writes, nor its parent's thread."""
    one = worker()
    one.watcher.note((WHO,), FINE)
    one.watcher.run()
    one.watcher._spans.flush = 5.0
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        one.watcher.note((WHO,), FINE)
        counts = sum(window.requests for window in one.watcher._counts.values())
        os.write(writing, f"{counts} {one.watcher._thread}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"1 None"
