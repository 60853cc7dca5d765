"""What is over goes, what is too much goes, and the rest stays."""

from __future__ import annotations

import select
import sqlite3
import time

import pytest

from plugins.rate_limit.sqlite_storage import SQLiteStorage
from secureml.testing import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage(tmp_path, clock):
    found = SQLiteStorage(
        f"sqlite+counters://{tmp_path}/c.db", clock=clock, capacity=50, sweep=10.0
    )
    yield found
    found.close()


def rows(storage, table="windows"):
    file = sqlite3.connect(storage.path)
    (count,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()
    file.close()
    return count


def test_what_is_over_goes_and_the_rest_stays(storage, clock):
    for n in range(10):
        storage.incr(f"short-{n}", 60)
        storage.acquire_sliding_window_entry(f"slide-{n}", 5, 60)
        storage.acquire_entry(f"move-{n}", 5, 60)
    storage.incr("long", 3600)
    clock.advance(181)
    assert storage._sweeper.sweep() == 30
    assert (rows(storage), rows(storage, "entries")) == (1, 0)
    assert storage.get("long") == 1


def test_one_process_at_a_time_does_it(storage, clock):
    storage.incr("a", 5)
    clock.advance(20)
    assert storage._sweeper.sweep() == 1
    storage.incr("b", 1)
    clock.advance(5)
    assert storage._sweeper.sweep() == 0, "swept a moment ago"
    clock.advance(10)
    assert storage._sweeper.sweep() == 1


def test_keys_beyond_the_capacity_give_way_the_soonest_first(storage, clock):
    for n in range(200):
        storage.incr(f"k{n:03}", 60 + n)
    assert storage._sweeper.sweep() == 150
    assert (storage.get("k199"), storage.get("k000")) == (1, 0)


def test_a_file_stays_small_whatever_number_of_callers_comes(storage, clock):
    for _ in range(5):
        for n in range(300):
            storage.incr(f"{clock()}-{n}", 30)
        clock.advance(31)
        storage._sweeper.sweep()
    assert rows(storage) == 0
    assert storage.path.stat().st_size < 256 * 1024


def test_it_runs_by_itself_once_there_is_something_to_do(tmp_path):
    storage = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", sweep=0.05)
    storage.incr("k", 0)
    deadline = time.monotonic() + 10
    while rows(storage) and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    assert rows(storage) == 0
    storage.close()
