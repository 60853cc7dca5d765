"""Expired rows and those beyond the capacity are removed, and the rest stays."""

from __future__ import annotations

import gc
import select
import sqlite3
import threading
import time

import pytest

from plugins.rate_limit.sqlite_storage import SQLiteStorage
from plugins.rate_limit.sqlite_sweeper import THREAD
from secureml.testing import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage(tmp_path, clock):
    found = SQLiteStorage(
        f"sqlite+counters://{tmp_path}/c.db", clock=clock, capacity=50, sweep_interval=10.0
    )
    yield found
    found.close()


def rows(storage, table="windows"):
    file = sqlite3.connect(storage.path)
    (count,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()
    file.close()
    return count


def test_expired_rows_are_removed_and_others_stay(storage, clock):
    for n in range(10):
        storage.incr(f"short-{n}", 60)
        storage.acquire_sliding_window_entry(f"slide-{n}", 5, 60)
        storage.acquire_entry(f"move-{n}", 5, 60)
    storage.incr("long", 3600)
    clock.advance(181)
    assert storage.sweeper.sweep() == 30
    assert (rows(storage), rows(storage, "entries")) == (1, 0)
    assert storage.get("long") == 1


def test_one_process_at_a_time_sweeps(storage, clock):
    storage.incr("a", 5)
    clock.advance(20)
    assert storage.sweeper.sweep() == 1
    storage.incr("b", 1)
    clock.advance(5)
    assert storage.sweeper.sweep() == 0, "swept a moment ago"
    clock.advance(10)
    assert storage.sweeper.sweep() == 1


def test_keys_beyond_the_capacity_are_removed_the_first_to_expire_first(storage, clock):
    for n in range(200):
        storage.incr(f"k{n:03}", 60 + n)
    assert storage.sweeper.sweep() == 150
    assert (storage.get("k199"), storage.get("k000")) == (1, 0)


def test_the_file_stays_small_however_many_callers_come(storage, clock):
    for _ in range(5):
        for n in range(300):
            storage.incr(f"{clock()}-{n}", 30)
        clock.advance(31)
        storage.sweeper.sweep()
    assert rows(storage) == 0
    assert storage.path.stat().st_size < 256 * 1024


def test_the_thread_starts_with_the_first_hit(tmp_path):
    storage = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", sweep_interval=0.05)
    storage.incr("k", 0)
    deadline = time.monotonic() + 10
    while rows(storage) and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    assert rows(storage) == 0
    storage.close()


def test_a_row_that_was_renewed_meanwhile_is_not_removed(storage, clock):
    storage.incr("k", 60)
    clock.advance(61)
    assert storage.incr("k", 60) == 1
    assert storage.sweeper.sweep() == 0
    assert storage.get("k") == 1


def test_a_moving_window_may_hold_four_rows_for_each_key_of_the_capacity(storage, clock):
    for _ in range(300):
        clock.advance(0.125)
        storage.acquire_entry("k", 1000, 3600)
    assert storage.sweeper.sweep() == 300 - 4 * 50
    assert rows(storage, "entries") == 200


def test_without_a_capacity_nothing_that_counts_is_removed(tmp_path, clock):
    """A budget must not end because other clients have budgets."""
    unbounded = SQLiteStorage(f"sqlite+counters://{tmp_path}/b.db", clock=clock, capacity=0)
    for n in range(500):
        unbounded.incr(f"k{n}", 86400)
    assert unbounded.sweeper.sweep() == 0
    assert rows(unbounded) == 500
    unbounded.close()


def test_a_clock_set_back_does_not_stop_the_sweeps(storage, clock):
    storage.incr("a", 5)
    clock.advance(86400)
    assert storage.sweeper.sweep() == 1
    clock.advance(-86400)
    storage.incr("b", 0)
    clock.advance(1)
    assert storage.sweeper.sweep() == 1


def test_hits_go_on_while_it_sweeps(tmp_path):
    storage = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", sweep_interval=0.01, timeout=5.0)
    for n in range(2000):
        storage.incr(f"old-{n}", 0)
        assert storage.incr("k", 3600) == n + 1
    storage.close()


def test_a_fault_is_logged_and_the_next_sweep_tries_again(tmp_path, caplog):
    storage = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", sweep_interval=0.02)
    storage.incr("k", 0)
    storage.close()
    storage.path.rename(tmp_path / "away")
    storage.sweeper.ensure_running()
    wait_until(lambda: "expired counters could not be removed" in caplog.text)
    (tmp_path / "away").rename(storage.path)
    wait_until(lambda: rows(storage) == 0)
    storage.close()


def test_it_is_one_thread_in_a_process_and_ends_when_stopped(tmp_path):
    storage = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", sweep_interval=0.02)
    before = sweepers()
    for _ in range(20):
        storage.sweeper.ensure_running()
    assert len(sweepers() - before) == 1
    storage.close()
    wait_until(lambda: not sweepers() - before)


def test_it_ends_with_the_storage_that_nobody_has_any_more(tmp_path):
    """Else each application that was made and dropped would leave a thread behind."""
    storage = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", sweep_interval=3600)
    before = sweepers()
    storage.sweeper.ensure_running()
    assert len(sweepers() - before) == 1
    del storage
    gc.collect()
    wait_until(lambda: not sweepers() - before)


def sweepers():
    return {thread for thread in threading.enumerate() if thread.name == THREAD}


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
