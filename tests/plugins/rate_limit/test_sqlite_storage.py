"""The storage as `limits` asks for it, and as a file that others may break."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask_limiter import Limiter
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
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


def test_it_is_found_by_its_scheme(tmp_path):
    found = storage_from_string(f"sqlite+counters://{tmp_path}/c.db", busy=1.0)
    assert isinstance(found, SQLiteStorage)
    assert not (tmp_path / "c.db").exists(), "nothing is opened before it is used"


def test_flask_limiter_takes_it_and_limits_with_it(tmp_path):
    app = Flask("someone-elses")
    url = f"sqlite+counters://{tmp_path}/c.db"
    limiter = Limiter(lambda: "me", app=app, default_limits=["2 per hour"], storage_uri=url)
    app.get("/")(lambda: "ok")
    caller = app.test_client()
    assert [caller.get("/").status_code for _ in range(4)] == [200, 200, 429, 429]
    limiter.storage.close()


def test_the_librarys_own_statistics_are_right(storage, clock):
    for name in STRATEGIES:
        strategy, item = STRATEGIES[name](storage), RateLimitItemPerMinute(5)
        assert [strategy.hit(item, name) for _ in range(6)] == [True] * 5 + [False], name
        assert strategy.get_window_stats(item, name).remaining == 0, name
        assert not strategy.test(item, name), name
        strategy.clear(item, name)
        assert strategy.test(item, name), name


def test_a_window_that_is_over_counts_nothing(storage, clock):
    assert storage.incr("k", 60) == 1
    assert storage.incr("k", 60, 4) == 5
    assert (storage.get("k"), storage.get_expiry("k")) == (5, clock() + 60)
    clock.advance(60)
    assert (storage.get("k"), storage.get_expiry("k")) == (0, clock())
    assert storage.incr("k", 60) == 1


def test_everything_can_be_forgotten(storage):
    storage.incr("a", 60)
    storage.acquire_entry("b", 5, 60)
    assert storage.reset() == 2
    assert storage.get("a") == 0


def test_counts_outlive_the_process_that_made_them(tmp_path):
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
    """Each goes on until it is refused; what is left is too little for the dearest refused."""
    folder = tmp_path_factory.mktemp("c")
    storage = SQLiteStorage(f"sqlite+counters://{folder}/c.db", busy=30.0)
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
        emitted = pipe.read()
    total = sum(int.from_bytes(emitted[n : n + 4], "big") for n in range(0, len(emitted), 4))
    storage.close()
    assert total <= limit
    assert limit - total < min(costs) or min(costs) > limit


def storage_takes(storage, window, item, cost):
    """Hit; a fixed window by the method that takes nothing where it refuses."""
    if type(window).__name__.startswith("Fixed"):
        return storage.take_fixed(item.key_for("k"), item.amount, item.get_expiry(), cost).allowed
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
