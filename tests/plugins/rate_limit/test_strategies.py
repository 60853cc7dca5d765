"""Each strategy against a simple reference model, and every wait against the truth."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerYear
from limits import strategies as library
from limits.storage import MemoryStorage

from plugins.rate_limit.headers import retry_after
from plugins.rate_limit.sqlite_storage import SQLiteStorage
from plugins.rate_limit.strategies import STRATEGIES, registered_name
from secureml.testing import Clock

EXPIRY = 60
# Steps of an eighth of a second are exact in binary, so the model and the storage agree.
STEPS = st.lists(
    st.tuples(st.integers(0, 8 * 90).map(lambda n: n / 8), st.integers(1, 4)), max_size=40
)


class FixedModel:
    """What was taken since the window began."""

    def __init__(self, limit):
        self.limit, self.began, self.used = limit, None, 0

    def hit(self, now, cost):
        if self.began is None or now >= self.began + EXPIRY:
            self.began, self.used = now, 0
        fits = self.used + cost <= self.limit
        self.used += cost * fits
        return fits


class MovingModel:
    """A list of every moment."""

    def __init__(self, limit):
        self.limit, self.taken = limit, []

    def hit(self, now, cost):
        fits = sum(at >= now - EXPIRY for at in self.taken) + cost <= self.limit
        self.taken += [now] * cost * fits
        return fits


class SlidingModel:
    """A count for each numbered window."""

    def __init__(self, limit):
        self.limit, self.counts = limit, {}

    def hit(self, now, cost):
        number = int(now // EXPIRY)
        share = ((number + 1) * EXPIRY - now) / EXPIRY
        weight = floor(self.counts.get(number - 1, 0) * share) + self.counts.get(number, 0)
        fits = weight + cost <= self.limit
        self.counts[number] = self.counts.get(number, 0) + cost * fits
        return fits


MODELS = {
    "fixed-window": FixedModel,
    "moving-window": MovingModel,
    "sliding-window-counter": SlidingModel,
}
each = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


class Setup:
    """A strategy over a storage of its own, and its clock."""

    def __init__(self, strategy, folder):
        self.clock = Clock()
        self.storage = SQLiteStorage(f"sqlite+counters://{folder}/c.db", clock=self.clock)
        self.strategy = STRATEGIES[strategy](self.storage)

    def hit(self, item, cost=1, key="k"):
        return self.strategy.hit_with_stats(item, key, cost=cost)

    def test(self, item, cost=1, key="k"):
        return self.strategy.test_with_stats(item, key, cost=cost)


@pytest.fixture
def setup(tmp_path):
    """A function that makes a strategy; its file is closed."""
    made = []

    def make(strategy):
        made.append(Setup(strategy, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.storage.close()


@each
@settings(deadline=None, max_examples=60)
@given(steps=STEPS, limit=st.integers(1, 8))
def test_it_allows_what_the_reference_model_allows(strategy, steps, limit):
    with tempfile.TemporaryDirectory() as folder:
        one, model = Setup(strategy, folder), MODELS[strategy](limit)
        item = RateLimitItemPerMinute(limit)
        for pause, cost in steps:
            one.clock.advance(pause)
            if cost > limit:
                continue
            expected = model.hit(one.clock(), cost)
            tested = one.test(item, cost)
            found = one.hit(item, cost)
            assert (tested.allowed, found.allowed) == (expected, expected)
            assert 0 <= found.remaining <= limit - cost * expected
        one.storage.close()


@each
@settings(deadline=None, max_examples=60)
@given(steps=STEPS, limit=st.integers(1, 8), cost=st.integers(1, 8))
def test_a_wait_is_true_to_the_second(strategy, steps, limit, cost):
    """After it, what was refused fits; a whole second before, it does not."""
    with tempfile.TemporaryDirectory() as folder:
        one = Setup(strategy, folder)
        item, cost = RateLimitItemPerMinute(limit), min(cost, limit)
        for pause, taken in steps:
            one.clock.advance(pause)
            one.hit(item, min(taken, limit))
        result = one.hit(item, cost)
        if not result.allowed:
            wait = retry_after(result.retry_after)
            now = one.clock()
            for early in range(wait):
                one.clock.seconds = now + early
                if early < result.retry_after:
                    assert not one.test(item, cost).allowed
            one.clock.seconds = now + wait
            assert one.hit(item, cost).allowed
        one.storage.close()


@each
@settings(deadline=None, max_examples=40)
@given(steps=STEPS, limit=st.integers(1, 8))
def test_what_remains_can_be_taken_at_once_and_no_more(strategy, steps, limit):
    with tempfile.TemporaryDirectory() as folder:
        one, item = Setup(strategy, folder), RateLimitItemPerMinute(limit)
        for pause, cost in steps:
            one.clock.advance(pause)
            one.hit(item, min(cost, limit))
        remaining = one.test(item, 0).remaining
        assert not one.test(item, remaining + 1).allowed
        if remaining:
            assert one.hit(item, remaining).allowed
        assert one.test(item).remaining == 0
        one.storage.close()


@each
@settings(deadline=None, max_examples=40)
@given(steps=STEPS, limit=st.integers(1, 8))
def test_hit_and_hit_with_stats_are_one_decision(strategy, steps, limit):
    """Whichever word of the library a program uses, it counts the same."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        plain, stats = Setup(strategy, first), Setup(strategy, second)
        item = RateLimitItemPerMinute(limit)
        for pause, cost in steps:
            plain.clock.advance(pause)
            stats.clock.advance(pause)
            found = stats.hit(item, cost)
            assert plain.strategy.hit(item, "k", cost=cost) == found.allowed
            assert plain.test(item, cost)[:2] == stats.test(item, cost)[:2]
        plain.storage.close()
        stats.storage.close()


@each
def test_the_librarys_statistics_agree(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(5)
    for remaining in (4, 3, 2, 1, 0):
        assert one.hit(item).remaining == remaining
        assert one.strategy.get_window_stats(item, "k").remaining == remaining
    assert not one.strategy.test(item, "k")


@each
def test_it_is_a_strategy_of_the_library_and_known_to_it_by_name(strategy):
    made = STRATEGIES[strategy]
    assert issubclass(made, library.RateLimiter)
    assert issubclass(made, library.STRATEGIES[strategy])
    assert library.STRATEGIES[registered_name(strategy)] is made


@each
def test_what_is_refused_takes_nothing(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(10)
    assert one.hit(item, 8).remaining == 2
    assert not one.hit(item, 5).allowed
    assert not one.strategy.hit(item, "k", cost=5)
    assert one.hit(item, 2).allowed


@each
def test_a_cost_that_never_fits_is_refused_and_takes_nothing(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(5)
    for _ in range(2):
        result = one.hit(item, 6)
        assert not result.allowed
        assert 0 <= result.retry_after <= EXPIRY
    assert one.hit(item, 5).allowed
    assert not one.hit(item, 6).allowed


@each
def test_a_test_takes_nothing(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(2)
    for _ in range(9):
        assert one.test(item).remaining == 2
    assert one.hit(item, 2).allowed


@each
def test_keys_and_items_are_counted_separately(strategy, setup):
    one = setup(strategy)
    minute, hour = RateLimitItemPerMinute(1), RateLimitItemPerHour(1)
    assert one.hit(minute, key="a").allowed
    assert one.hit(minute, key="b").allowed
    assert one.hit(hour, key="a").allowed
    assert not one.hit(minute, key="a").allowed


@each
def test_clear_forgets_one_key(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(1)
    assert one.hit(item, key="a").allowed
    assert one.hit(item, key="b").allowed
    one.strategy.clear(item, "a")
    assert one.hit(item, key="a").allowed
    assert not one.hit(item, key="b").allowed


@each
@pytest.mark.parametrize("limit", [1, 5])
def test_over_a_storage_of_the_librarys_it_decides_alike(strategy, limit):
    made = STRATEGIES[strategy](MemoryStorage())
    item = RateLimitItemPerMinute(limit)
    found = [made.hit_with_stats(item, "k") for _ in range(limit + 3)]
    assert [one.allowed for one in found] == [True] * limit + [False] * 3
    assert found[0].remaining == limit - 1
    assert 0 < found[-1].retry_after <= 2 * EXPIRY
    assert not made.test_with_stats(item, "k").allowed


@each
def test_over_a_storage_of_the_librarys_a_large_cost_that_is_refused_takes_nothing(strategy):
    made, item = STRATEGIES[strategy](MemoryStorage()), RateLimitItemPerMinute(10)
    assert made.hit_with_stats(item, "k", cost=8).allowed
    assert not made.hit_with_stats(item, "k", cost=5).allowed
    assert made.hit_with_stats(item, "k", cost=2).allowed


# -- clocks that step --------------------------------------------------------------------------


@each
def test_a_clock_set_back_by_a_day_locks_nobody_out_for_longer_than_a_window(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(1)
    assert one.hit(item).allowed
    one.clock.advance(-86400)
    assert one.hit(item).allowed


@each
@pytest.mark.parametrize("step", [-0.5, -2.0, -5.0])
def test_a_clock_set_back_by_a_moment_gives_nobody_more(strategy, setup, step):
    one, item = setup(strategy), RateLimitItemPerMinute(3)
    one.clock.advance(1.0)  # just inside a window
    assert sum(one.hit(item).allowed for _ in range(5)) == 3
    one.clock.advance(step)
    assert not one.hit(item).allowed


@each
def test_a_clock_set_forward_only_ends_the_window(strategy, setup):
    one, item = setup(strategy), RateLimitItemPerMinute(3)
    assert sum(one.hit(item).allowed for _ in range(5)) == 3
    one.clock.advance(10 * 86400)
    assert sum(one.hit(item).allowed for _ in range(5)) == 3
    one.clock.advance(-10 * 86400)
    assert one.hit(item).retry_after <= 2 * EXPIRY, "and back again: a window or two at most"


# -- several processes -------------------------------------------------------------------------


@each
def test_two_processes_hit_one_limit(strategy, tmp_path):
    uri, item = f"sqlite+counters://{tmp_path}/c.db", RateLimitItemPerYear(101, 50)
    reading, writing = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            made = STRATEGIES[strategy](SQLiteStorage(uri, timeout=30.0))
            hits = [made.hit_with_stats(item, "k") for _ in range(100)]
            # No two hits that were allowed left the same behind: each saw all before it.
            left = bytes(hit.remaining for hit in hits if hit.allowed)
            os.write(writing, left)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert sorted(pipe.read()) == list(range(101))


@each
def test_a_process_killed_between_hits_leaves_a_sound_count(strategy, tmp_path):
    uri, item = f"sqlite+counters://{tmp_path}/c.db", RateLimitItemPerYear(100_000, 50)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        made = STRATEGIES[strategy](SQLiteStorage(uri, timeout=30.0))
        while made.hit_with_stats(item, "k").allowed:
            os.write(writing, b".")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reported = len(pipe.read(500))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reported += len(pipe.read())
    storage = SQLiteStorage(uri)
    used = 100_000 - STRATEGIES[strategy](storage).test_with_stats(item, "k").remaining
    assert reported <= used <= reported + 1
    storage.close()


@each
def test_times_are_those_of_the_system_where_a_storage_has_no_clock(strategy):
    made, item = STRATEGIES[strategy](MemoryStorage()), RateLimitItemPerMinute(1)
    begin = time.monotonic()
    made.hit_with_stats(item, "k")
    found = made.hit_with_stats(item, "k")
    assert 0 < found.retry_after <= 2 * EXPIRY + time.monotonic() - begin
    assert found.reset_after <= EXPIRY
