"""The storage as `limits` uses it, and as a file that others may break."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from flask import Flask
from flask_limiter import Limiter
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import STRATEGIES

from plugins.rate_limit.sqlite_storage import SQLiteStorage
from secureml.testing import Clock

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage(tmp_path, clock):
    found = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", clock=clock)
    yield found
    found.close()


def test_limits_finds_it_by_its_scheme(tmp_path):
    found = storage_from_string(f"sqlite+counters://{tmp_path}/c.db", timeout=1.0)
    assert isinstance(found, SQLiteStorage)
    assert not (tmp_path / "c.db").exists(), "nothing is opened before it is used"


def test_a_flask_limiter_of_another_app_limits_with_it(tmp_path):
    app = Flask("another-app")
    url = f"sqlite+counters://{tmp_path}/c.db"
    limiter = Limiter(lambda: "me", app=app, default_limits=["2 per hour"], storage_uri=url)
    app.get("/")(lambda: "ok")
    caller = app.test_client()
    assert [caller.get("/").status_code for _ in range(4)] == [200, 200, 429, 429]
    limiter.storage.close()


def test_the_strategies_of_the_library_work_on_it(storage, clock):
    for name in STRATEGIES:
        strategy, item = STRATEGIES[name](storage), RateLimitItemPerMinute(5)
        assert [strategy.hit(item, name) for _ in range(6)] == [True] * 5 + [False], name
        assert strategy.get_window_stats(item, name).remaining == 0, name
        assert not strategy.test(item, name), name
        strategy.clear(item, name)
        assert strategy.test(item, name), name


def test_an_expired_window_counts_nothing(storage, clock):
    assert storage.incr("k", 60) == 1
    assert storage.incr("k", 60, 4) == 5
    assert (storage.get("k"), storage.get_expiry("k")) == (5, clock() + 60)
    clock.advance(60)
    assert (storage.get("k"), storage.get_expiry("k")) == (0, clock())
    assert storage.incr("k", 60) == 1


def test_reset_forgets_everything(storage):
    storage.incr("a", 60)
    storage.acquire_entry("b", 5, 60)
    assert storage.reset() == 2
    assert storage.get("a") == 0


def test_counts_survive_the_process_that_made_them(tmp_path):
    program = (
        "import sys; from plugins.rate_limit.sqlite_storage import SQLiteStorage as S\n"
        "import os; s = S(sys.argv[1]); s.incr('k', 3600, 7); os.kill(os.getpid(), 9)"
    )
    url = f"sqlite+counters://{tmp_path}/c.db"
    done = subprocess.run([sys.executable, "-c", program, url], cwd=CHECKOUT, check=False)
    assert done.returncode == -9
    after = SQLiteStorage(url)
    assert after.get("k") == 7
    after.close()


def test_a_fork_opens_the_file_anew_and_counts_on(storage):
    storage.incr("k", 3600)
    child = os.fork()
    if child == 0:
        os._exit(0 if storage.incr("k", 3600) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert storage.incr("k", 3600) == 3


@settings(deadline=None, max_examples=8)
@given(
    limit=st.integers(1, 60),
    costs=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    name=st.sampled_from(sorted(STRATEGIES)),
)
def test_processes_of_any_costs_never_take_more_and_leave_no_room(
    tmp_path_factory, limit, costs, name
):
    """Each goes on until it is refused; what remains is too little for the cheapest."""
    folder = tmp_path_factory.mktemp("c")
    storage = SQLiteStorage(f"sqlite+counters://{folder}/c.db", timeout=30.0)
    item, reading, writing = RateLimitItemPerHour(limit), *os.pipe()
    children = []
    for cost in costs:
        child = os.fork()
        if child == 0:
            window = STRATEGIES[name](storage)
            taken = 0
            while storage_takes(storage, window, item, cost):
                taken += cost
            os.write(writing, taken.to_bytes(4, "big"))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    total = sum(int.from_bytes(answer[n : n + 4], "big") for n in range(0, len(answer), 4))
    storage.close()
    assert total <= limit
    assert limit - total < min(costs) or min(costs) > limit


def storage_takes(storage, window, item, cost):
    """Hit; a fixed window by the method that takes nothing where it refuses."""
    if type(window).__name__.startswith("Fixed"):
        return storage.hit_fixed_window(
            item.key_for("k"), item.amount, item.get_expiry(), cost
        ).allowed
    return window.hit(item, "k", cost=cost)


def test_a_file_that_cannot_be_made_is_a_storage_error(tmp_path):
    broken = SQLiteStorage(f"sqlite+counters://{tmp_path}/nowhere/c.db")
    with pytest.raises(StorageError):
        broken.incr("k", 60)
    broken.close()


def test_what_is_no_database_is_a_storage_error(tmp_path):
    (tmp_path / "c.db").write_bytes(b"not a database" * 100)
    (tmp_path / "c.db").chmod(0o600)
    broken = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db")
    with pytest.raises(StorageError):
        broken.check()
    broken.close()


# -- against the library's own storage ---------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["incr", "get", "entry", "moving", "sliding", "clear"]),
        st.sampled_from(["a", "b"]),
        st.integers(1, 4),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=40)
@given(actions=ACTIONS)
def test_within_a_window_it_answers_as_the_memory_storage_of_the_library(tmp_path_factory, actions):
    """The library's own code is the reference; nothing expires within the test."""
    folder = tmp_path_factory.mktemp("c")
    ours, reference = SQLiteStorage(f"sqlite+counters://{folder}/c.db"), MemoryStorage()
    expiry, limit = 3600, 6

    def run(storage, action, key, amount):
        if action == "incr":
            return storage.incr(f"fixed-{key}", expiry, amount)
        if action == "get":
            return storage.get(f"fixed-{key}")
        if action == "entry":
            return storage.acquire_entry(f"moving-{key}", limit, expiry, amount)
        if action == "moving":
            return storage.get_moving_window(f"moving-{key}", limit, expiry)[1]
        if action == "sliding":
            return storage.acquire_sliding_window_entry(f"sliding-{key}", limit, expiry, amount)
        return storage.clear(f"fixed-{key}") or storage.clear(f"moving-{key}")

    for action, key, amount in actions:
        assert run(ours, action, key, amount) == run(reference, action, key, amount), action
    ours.close()


def test_a_moving_window_counts_from_its_oldest_hit(storage, clock):
    began = clock()
    for _ in range(3):
        assert storage.acquire_entry("k", 3, 60)
        clock.advance(10)
    assert storage.get_moving_window("k", 3, 60) == (began, 3)
    clock.advance(31)
    assert storage.get_moving_window("k", 3, 60) == (began + 10, 2)


def test_the_state_of_a_moving_window_says_when_an_amount_fits(storage, clock):
    began = clock()
    for _ in range(3):
        storage.acquire_entry("k", 3, 60)
        clock.advance(10)
    for amount, oldest in ((1, 0), (2, 10), (3, 20)):
        state = storage.hit_moving_window("k", 3, 60, amount)
        assert (state.allowed, state.used) == (False, 3)
        assert state.fits_after == began + oldest + 60


def test_a_fixed_window_that_is_full_keeps_its_end(storage, clock):
    first = storage.hit_fixed_window("k", 2, 60, 2)
    clock.advance(30)
    refused = storage.hit_fixed_window("k", 2, 60, 1)
    assert (refused.allowed, refused.used, refused.ends) == (False, 2, first.ends)


def test_a_sliding_window_weighs_the_previous_one_by_its_share(storage, clock):
    clock.seconds = 600.0
    assert storage.hit_sliding_window("k", 10, 60, 10).allowed
    clock.seconds = 660.0 + 30
    assert storage.get_sliding_window("k", 60)[0] == 10
    assert storage.hit_sliding_window("k", 10, 60, 5).allowed, "half of ten are left"
    assert not storage.hit_sliding_window("k", 10, 60, 1).allowed


def test_clearing_a_sliding_window_leaves_the_fixed_one(storage):
    storage.incr("k", 60)
    storage.acquire_sliding_window_entry("k", 5, 60)
    storage.clear_sliding_window("k", 60)
    assert storage.get_sliding_window("k", 60)[2] == 0
    assert storage.get("k") == 1


@pytest.mark.parametrize("key", ["", "'; DROP TABLE windows; --", "\0", "k" * 5000, "\U0001f600"])
def test_any_text_is_a_key(storage, key):
    assert storage.incr(key, 60) == 1
    assert storage.acquire_entry(key, 1, 60)
    assert storage.acquire_sliding_window_entry(key, 1, 60)
    assert storage.get(key) == 1


# -- sharing -----------------------------------------------------------------------------------


def test_a_shared_storage_uses_one_connection_and_one_sweeper(tmp_path, clock):
    uri = f"sqlite+counters://{tmp_path}/c.db"
    first = SQLiteStorage(uri, clock=clock)
    second = SQLiteStorage(uri, clock=clock, shared=first)
    assert second.connection is first.connection
    assert second.sweeper is first.sweeper
    assert (first.incr("k", 60), second.incr("k", 60)) == (1, 2)
    first.close()
    assert second.incr("k", 60) == 3, "opened again"
    second.close()


def test_storages_that_are_not_shared_count_together_as_well(tmp_path, clock):
    uri = f"sqlite+counters://{tmp_path}/c.db"
    storages = [SQLiteStorage(uri, clock=clock, timeout=5.0) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda one=one: [one.incr("k", 60) for _ in range(50)])
        for one in storages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storages[0].get("k") == 150
    for one in storages:
        one.close()


# -- clocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [1, 5, 9])
def test_a_clock_set_back_by_a_moment_keeps_the_fixed_window(storage, clock, back):
    storage.hit_fixed_window("k", 5, 60, 5)
    clock.advance(-back)
    assert not storage.hit_fixed_window("k", 5, 60, 1).allowed


def test_clocks_of_processes_that_differ_by_seconds_share_a_window(tmp_path):
    here, there = Clock(), Clock()
    there.advance(3)
    uri = f"sqlite+counters://{tmp_path}/c.db"
    first, second = SQLiteStorage(uri, clock=here), SQLiteStorage(uri, clock=there)
    allowed = 0
    for one in (first, second) * 6:
        allowed += one.hit_fixed_window("k", 5, 60, 1).allowed
    assert allowed == 5
    first.close()
    second.close()


def test_a_far_future_left_by_a_wrong_clock_is_dropped(storage, clock):
    clock.advance(365 * 86400)
    assert storage.hit_fixed_window("f", 1, 60, 1).allowed
    assert storage.hit_moving_window("m", 1, 60, 1).allowed
    assert storage.hit_sliding_window("s", 1, 60, 1).allowed
    clock.advance(-365 * 86400)
    assert storage.hit_fixed_window("f", 1, 60, 1).allowed
    assert storage.hit_moving_window("m", 1, 60, 1).allowed
    assert storage.hit_sliding_window("s", 1, 60, 1).allowed


# -- a file that breaks ------------------------------------------------------------------------


def test_a_disk_without_room_is_a_storage_error_and_what_was_counted_stays(tmp_path, clock):
    small = SQLiteStorage(f"sqlite+counters://{tmp_path}/c.db", clock=clock, size=64 * 1024)
    small.incr("first", 3600)

    def fill():
        for number in range(10_000):
            small.incr(f"{number:0200}", 3600)

    with pytest.raises(StorageError, match="full"):
        fill()
    assert small.get("first") == 1
    assert small.path.stat().st_size <= 64 * 1024
    small.close()


def test_a_file_that_is_put_back_is_used_again(storage, tmp_path):
    storage.incr("k", 60)
    storage.path.rename(tmp_path / "away")
    with pytest.raises(StorageError):
        storage.incr("k", 60)
    (tmp_path / "away").rename(storage.path)
    assert storage.incr("k", 60) == 2


def test_a_storage_error_has_the_cause_that_an_operator_needs(tmp_path):
    broken = SQLiteStorage(f"sqlite+counters://{tmp_path}/nowhere/c.db")
    with pytest.raises(StorageError) as failed:
        broken.check()
    assert isinstance(failed.value.__cause__, broken.base_exceptions)
    assert "nowhere" in str(failed.value.__cause__)
    broken.close()
