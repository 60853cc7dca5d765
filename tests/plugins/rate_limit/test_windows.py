"""Each strategy against a simple model, and every wait against the truth."""

from __future__ import annotations

import tempfile
import time
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute

from plugins.rate_limit.policy_fields import retry_after
from plugins.rate_limit.sqlite_storage import SQLiteStorage
from plugins.rate_limit.windows import STRATEGIES
from secureml.testing import Clock

EXPIRY = 60
# Steps of an eighth of a second are exact in binary, so the model and the storage agree.
STEPS = st.lists(
    st.tuples(st.integers(0, 8 * 90).map(lambda n: n / 8), st.integers(1, 4)), max_size=40
)


class FixedModel:
    """A list of what was taken since the window began."""

    def __init__(self, limit):
        self.limit, self.began, self.used = limit, None, 0

    def take(self, now, cost):
        if self.began is None or now >= self.began + EXPIRY:
            self.began, self.used = now, 0
        fits = self.used + cost <= self.limit
        self.used += cost * fits
        return fits


class MovingModel:
    """A list of every moment."""

    def __init__(self, limit):
        self.limit, self.taken = limit, []

    def take(self, now, cost):
        fits = sum(at >= now - EXPIRY for at in self.taken) + cost <= self.limit
        self.taken += [now] * cost * fits
        return fits


class SlidingModel:
    """A count for each numbered window."""

    def __init__(self, limit):
        self.limit, self.counts = limit, {}

    def take(self, now, cost):
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


class Bench:
    """A window over a storage of its own, and its clock."""

    def __init__(self, strategy, folder):
        self.clock = Clock()
        self.storage = SQLiteStorage(f"sqlite+counters://{folder}/c.db", clock=self.clock)
        self.window = STRATEGIES[strategy](self.storage, self.clock)


@each
@settings(deadline=None, max_examples=60)
@given(steps=STEPS, limit=st.integers(1, 8))
def test_it_takes_what_the_model_takes(strategy, steps, limit):
    with tempfile.TemporaryDirectory() as folder:
        bench, model = Bench(strategy, folder), MODELS[strategy](limit)
        item = RateLimitItemPerMinute(limit)
        for pause, cost in steps:
            bench.clock.advance(pause)
            if cost > limit:
                continue
            expected = model.take(bench.clock(), cost)
            seen = bench.window.look(item, "k", cost)
            found = bench.window.reserve(item, "k", cost)
            assert (seen.allowed, found.allowed) == (expected, expected)
            assert 0 <= found.left <= limit - cost * expected
        bench.storage.close()


@each
@settings(deadline=None, max_examples=60)
@given(steps=STEPS, limit=st.integers(1, 8), cost=st.integers(1, 8))
def test_a_wait_is_the_truth_to_the_second(strategy, steps, limit, cost):
    """After it what was refused fits; a whole second before, it does not."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(strategy, folder)
        item, cost = RateLimitItemPerMinute(limit), min(cost, limit)
        for pause, taken in steps:
            bench.clock.advance(pause)
            bench.window.reserve(item, "k", min(taken, limit))
        outcome = bench.window.reserve(item, "k", cost)
        if not outcome.allowed:
            wait = retry_after(outcome.wait)
            now = bench.clock()
            for early in range(wait):
                bench.clock.seconds = now + early
                if early < outcome.wait:
                    assert not bench.window.look(item, "k", cost).allowed
            bench.clock.seconds = now + wait
            assert bench.window.reserve(item, "k", cost).allowed
        bench.storage.close()


@each
def test_what_is_refused_takes_nothing(strategy, tmp_path):
    bench = Bench(strategy, tmp_path)
    item = RateLimitItemPerMinute(10)
    assert bench.window.reserve(item, "k", 8).left == 2
    assert not bench.window.reserve(item, "k", 5).allowed
    assert bench.window.reserve(item, "k", 2).allowed
    bench.storage.close()


@each
@pytest.mark.parametrize("limit", [1, 5])
def test_over_a_storage_of_the_librarys_it_decides_alike(strategy, limit):
    from limits.storage import MemoryStorage

    window = STRATEGIES[strategy](MemoryStorage(), time.time)
    item = RateLimitItemPerMinute(limit)
    found = [window.reserve(item, "k", 1) for _ in range(limit + 3)]
    assert [one.allowed for one in found] == [True] * limit + [False] * 3
    assert found[0].left == limit - 1
    assert 0 < found[-1].wait <= 2 * EXPIRY
    assert not window.look(item, "k", 1).allowed


@each
def test_a_clock_that_was_set_back_shuts_nobody_out_for_longer_than_a_window(strategy, tmp_path):
    bench = Bench(strategy, tmp_path)
    item = RateLimitItemPerMinute(1)
    assert bench.window.reserve(item, "k", 1).allowed
    bench.clock.advance(-86400)
    assert bench.window.reserve(item, "k", 1).allowed
    bench.storage.close()
