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
from tests import anomaly_rows as rows
from tests import anomaly_traffic as traffic

WHO = "address:192.0.2.1"
DAY = 86400.0
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
        self.scorer.outages = (StoreUnavailable,)


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


def test_many_subjects_cost_bounded_memory(worker, monkeypatch, caplog):
    monkeypatch.setattr("plugins.anomaly.scorer.MAX_SUBJECTS", 5)
    one = worker()
    for number in range(20):
        one.scorer.count((f"address:192.0.2.{number}",), FINE)
    one.scorer.count(("address:192.0.2.0",), FINE)
    one.scorer.flush()
    found = one.window_store.complete(0, 1e9)
    assert [window.requests for window in found.values()] == [2, 1, 1, 1, 1]
    [record] = caplog.records
    assert "15 requests were not counted" in record.getMessage()
    assert "fix: " in record.getMessage()

    one.scorer.count((WHO,), FINE)
    one.scorer.flush()
    assert len(caplog.records) == 1, "said once"


def test_what_is_put_back_costs_bounded_memory_too(worker, monkeypatch, caplog):
    monkeypatch.setattr("plugins.anomaly.scorer.MAX_SUBJECTS", 5)
    one = worker()
    for number in range(5):
        one.scorer.count((f"address:192.0.2.{number}",) * 3, FINE)
    write = one.window_store.write

    def fail(windows):
        for number in range(3):
            one.scorer.count((f"address:198.51.100.{number}",), FINE)
        raise StoreUnavailable

    monkeypatch.setattr(one.window_store, "write", fail)
    with pytest.raises(StoreUnavailable):
        one.scorer.flush()
    monkeypatch.setattr(one.window_store, "write", write)
    one.scorer.flush()
    assert len(one.window_store.complete(0, 1e9)) == 5
    assert "9 requests were not counted" in caplog.text


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
    assert "Traceback" not in caplog.text


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
    os.close(writing)
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


# Counting.


def test_requests_of_two_windows_are_counted_apart(worker, clock):
    one = worker()
    for _ in range(3):
        one.scorer.count((WHO,), FINE)
        clock.advance(45)
    one.scorer.flush()
    found = {
        start: window.requests for (_, start), window in one.window_store.complete(0, 1e9).items()
    }
    assert found == {6000.0: 2, 6060.0: 1}


def test_what_was_written_is_not_written_again(worker):
    one = worker()
    one.scorer.count((WHO,), FINE)
    for _ in range(3):
        one.scorer.flush()
    [window] = one.window_store.complete(0, 1e9).values()
    assert window.requests == 1


def test_threads_lose_no_request(worker):
    one = worker()

    def count():
        for _ in range(200):
            one.scorer.count((WHO, "client:a"), FINE)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        one.scorer.flush()
    one.scorer.flush()
    found = {who: window.requests for (who, _), window in one.window_store.complete(0, 1e9).items()}
    assert found == {WHO: 800, "client:a": 800}


def test_many_threads_start_one_thread(worker):
    one = worker()
    before = {thread.ident for thread in threading.enumerate()}
    starters = [threading.Thread(target=one.scorer.start) for _ in range(8)]
    for thread in starters:
        thread.start()
    for thread in starters:
        thread.join()
    started = [each for each in threading.enumerate() if each.ident not in before]
    assert [each.name for each in started] == ["anomaly"]


def test_closing_ends_the_thread_and_may_come_twice_or_before_any_start(worker):
    one = worker()
    one.scorer.close()
    one.scorer.start()
    thread = one.scorer._thread
    one.scorer._schedule.flush = 10.0
    one.scorer.close()
    assert not thread.is_alive()
    one.scorer.close()


def test_a_fork_leaves_behind_what_else_the_parent_writes(worker):
    """The rows that the parent counted for the drift index, say."""
    one = worker()
    reading, writing = os.pipe()
    one.scorer.after_fork = lambda: os.write(writing, b"begun empty")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"begun empty"


def test_a_forked_worker_counts_although_a_lock_was_held_at_the_fork(worker):
    one = worker()
    reading, writing = os.pipe()
    with one.scorer._lock:
        child = os.fork()
        if child == 0:
            counting = threading.Thread(target=one.scorer.count, args=((WHO,), FINE), daemon=True)
            counting.start()
            counting.join(10)
            os.write(writing, str(len(one.scorer._counts)).encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"1"


# Steps that fail.


def failing(error):
    def step():
        raise error

    return step


def attack(worker, clock, windows=2, seed=1):
    """Scan in so many windows, and let the last be complete."""
    for number in range(windows):
        clock.advance(60)
        scan(worker, seed + number)
        worker.scorer.flush()
    clock.advance(61)


@pytest.mark.parametrize("error", [ValueError("shapes differ"), MemoryError(), KeyError("x")])
def test_a_step_that_fails_stops_no_other(worker, clock, caplog, error):
    one = worker()
    one.scorer.score_windows()
    attack(one, clock)
    one.scorer.after_flush = failing(error)
    one.scorer.count((WHO,), FINE)
    one.scorer.run_once()
    assert one.window_store.complete(6180, 6240), "what was counted is written"
    assert one.blocks.find(WHO), "what was complete is scored"
    [record] = caplog.records
    assert "counts of rows could not be written" in record.getMessage()
    assert record.exc_info


def test_counts_that_cannot_be_written_do_not_stop_the_scoring(worker, clock, caplog, monkeypatch):
    one = worker()
    one.scorer.score_windows()
    attack(one, clock)
    monkeypatch.setattr(one.window_store, "write", lambda windows: failing(ValueError())())
    one.scorer.run_once()
    assert one.blocks.find(WHO)
    assert "counts of callers could not be written" in caplog.text


def test_a_scoring_that_fails_is_tried_again_with_the_same_windows(worker, clock, usual, caplog):
    one = worker()
    one.scorer.score_windows()
    attack(one, clock)
    one.scorer.baseline = failing(MemoryError())
    one.scorer.run_once()
    assert one.blocks.find(WHO) is None
    assert "windows could not be scored" in caplog.text
    one.scorer.baseline = lambda: usual
    one.scorer.run_once()
    assert one.blocks.find(WHO)


def test_while_the_store_is_away_there_is_one_line_with_a_fix_and_no_traceback(
    worker, caplog, monkeypatch
):
    one = worker()
    one.scorer.count((WHO,), FINE)
    monkeypatch.setattr(one.window_store, "write", unavailable)
    one.scorer.after_flush = lambda: pytest.fail("the store is away for this as well")
    one.scorer.run_once()
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.exc_info is None
    assert "fix: " in record.getMessage()
    monkeypatch.undo()
    one.scorer.flush()
    assert len(one.window_store.complete(0, 1e9)) == 1


# What is scored.


def test_a_window_with_just_enough_requests_has_a_score(worker, clock):
    one = worker()
    one.scorer.score_windows()
    clock.advance(60)
    for _ in range(10):
        one.scorer.count((WHO,), FINE._replace(status=404))
    one.scorer.flush()
    clock.advance(61)
    assert len(one.scorer.score_windows()) == 1


def test_a_usual_window_is_neither_reported_nor_blocked_and_its_score_is_kept(worker, clock):
    one = worker()
    one.scorer.score_windows()
    clock.advance(60)
    rng = np.random.default_rng(3)
    for _ in range(40):
        one.scorer.count((WHO,), traffic.request(rng))
    one.scorer.flush()
    clock.advance(61)
    [action] = one.scorer.score_windows()
    assert (action.alert, action.block, action.score.reasons) == (False, None, [])
    assert one.reported == []
    assert one.window_store.scores()[WHO].streak == 0


def test_who_is_only_observed_has_a_score_and_no_report(worker, clock):
    one = worker(action="observe")
    one.scorer.score_windows()
    attack(one, clock, 3)
    assert len(one.scorer.score_windows()) == 3
    assert one.reported == []
    assert one.blocks.list() == []
    assert one.window_store.scores()[WHO].streak == 3


def test_a_window_that_comes_after_its_time_was_scored_is_not_scored(worker, clock):
    """Its worker was stopped for longer than two flushes; nobody waits for it."""
    one, late = worker(), worker()
    one.scorer.score_windows()
    clock.advance(60)
    scan(late)
    clock.advance(61)
    one.scorer.score_windows()
    late.scorer.flush()
    clock.advance(60)
    assert one.scorer.score_windows() == []
    assert one.blocks.list() == []


def test_windows_of_a_worker_that_died_are_scored_by_the_next(worker, clock):
    one, other = worker(), worker()
    one.scorer.score_windows()
    attack(one, clock)
    one.store.close()
    clock.advance(3600)
    assert [action.score.streak for action in other.scorer.score_windows()] == [1, 2]
    assert other.blocks.find(WHO).until == clock() + 900.0


def test_windows_that_were_trained_on_are_not_reported(worker, clock):
    """They are the operator's idea of what is usual, whatever the mark of an earlier training."""
    one = worker(baseline=traffic.trained(500, trained_at=6150.0))
    one.scorer.score_windows()
    attack(one, clock, 4)
    assert [action.score.start for action in one.scorer.score_windows()] == [6180.0, 6240.0]


def test_two_workers_that_score_at_once_report_once_and_count_once(worker, clock, usual):
    """The second finds the mark moved: it has neither scores, nor blocks, nor reports."""
    one, other = worker(), worker()
    one.scorer.score_windows()
    attack(one, clock)

    class Slow:
        trained_at = 0.0

        def score(self, vectors):
            assert len(other.scorer.score_windows()) == 2
            return usual.score(vectors)

    one.scorer.baseline = Slow
    assert one.scorer.score_windows() == []
    assert (len(one.reported), len(other.reported)) == (0, 2)
    assert one.window_store.scores()[WHO].streak == 2


def test_who_is_lifted_while_its_windows_are_scored_is_neither_blocked_nor_reported(
    worker, clock, usual
):
    one, other = worker(), worker()
    one.scorer.score_windows()
    attack(one, clock)
    one.scorer.score_windows()
    assert one.blocks.find(WHO)
    one.reported.clear()
    scan(one)
    one.scorer.flush()
    clock.advance(61)

    class Slow:
        trained_at = 0.0

        def score(self, vectors):
            assert other.blocks.lift(WHO)
            return usual.score(vectors)

    one.scorer.baseline = Slow
    assert one.scorer.score_windows() == []
    assert one.reported == []
    assert one.blocks.find(WHO) is None


# Rows that another version or a fault left.


@pytest.mark.parametrize("text", rows.UNREADABLE.values(), ids=rows.UNREADABLE)
def test_rows_that_cannot_be_read_do_not_stop_the_scoring(worker, clock, text):
    one = worker()
    one.scorer.score_windows()
    for start in (6060.0, 6120.0):
        rows.run(
            one.store,
            "INSERT INTO anomaly_windows (subject, start, counts) VALUES (:who, :start, :text)",
            who=WHO,
            start=start,
            text=text,
        )
    rows.run(
        one.store,
        "INSERT INTO anomaly_scores VALUES (:who, 0.0, 0.9, 0, :text)",
        who=WHO,
        text=text,
    )
    attack(one, clock)
    one.scorer.run_once()
    assert one.blocks.find(WHO)


# A clock that is set back.


@pytest.mark.parametrize("back", [600.0, 3650 * DAY])
def test_a_clock_that_was_set_back_scores_what_comes_from_now_on(worker, clock, back):
    clock.advance(4000 * DAY)
    one = worker()
    one.scorer.score_windows()
    attack(one, clock)
    assert len(one.scorer.score_windows()) == 2
    clock.advance(-back)
    one.scorer.run_once()
    attack(one, clock, seed=7)
    assert [action.score.streak for action in one.scorer.score_windows()] == [3, 4]
    assert one.blocks.find(WHO).until == clock() + 900.0


def test_another_worker_scores_when_the_clock_was_set_back_and_the_holder_is_gone(
    worker, clock, monkeypatch
):
    clock.advance(4000 * DAY)
    one, other = worker(), worker()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    one.scorer.score_windows()
    monkeypatch.undo()
    clock.advance(-3650 * DAY)
    other.scorer.run_once()
    attack(other, clock)
    assert len(other.scorer.score_windows()) == 2


def test_what_was_counted_before_the_clock_was_set_back_is_not_added_to_what_comes(worker, clock):
    """In the store or not yet written: one window would have the requests of two."""
    one = worker()
    one.scorer.score_windows()
    clock.advance(600)
    scan(one)
    one.scorer.flush()
    scan(one)
    clock.advance(-580)
    one.scorer.run_once()
    clock.advance(580)
    for _ in range(9):
        one.scorer.count((WHO,), FINE)
    one.scorer.flush()
    clock.advance(61)
    assert one.window_store.complete(6600, 6660)[WHO, 6600.0].requests == 9
    assert one.scorer.score_windows() == []


def test_a_training_that_seems_to_be_in_the_future_stops_no_scoring(worker, clock):
    one = worker(baseline=traffic.trained(500, trained_at=clock() + 365 * DAY))
    one.scorer.score_windows()
    attack(one, clock)
    assert len(one.scorer.score_windows()) == 2


def test_a_lift_in_what_is_the_future_now_does_not_forgive_for_ever(worker, clock):
    clock.advance(4000 * DAY)
    one = worker()
    one.scorer.score_windows()
    attack(one, clock)
    one.scorer.score_windows()
    assert one.blocks.lift(WHO)
    clock.advance(-3650 * DAY)
    one.scorer.run_once()
    attack(one, clock)
    assert [action.score.streak for action in one.scorer.score_windows()] == [1, 2]
    assert one.blocks.find(WHO)
