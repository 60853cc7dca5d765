"""The strategies of `limits`, which also answer what is left and when more will fit.

Each is the library's own strategy, used by its own words (``hit``, ``test``,
``get_window_stats``, ``clear``), with two methods beside them: ``hit_with_stats`` and
``test_with_stats`` decide as ``hit`` and ``test`` do and return the state of the window that
they decided on. On our own storage that is one statement, and ``hit`` itself goes through it;
on any other (Redis, memory) the library's method decides and its statistics are read after.

They are registered with `limits` under names of their own, so that Flask-Limiter makes them:
``Limiter(strategy="secureml-moving-window").limiter`` is one.

A ``retry_after`` is never shorter than the truth at the moment it was read; where a storage
does not tell enough, it is the whole window.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import floor
from typing import Any, NamedTuple, cast

from limits import RateLimitItem
from limits import strategies as library
from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport

from .sqlite_storage import SQLiteStorage


class HitResult(NamedTuple):
    """What a hit or test found.

    ``remaining`` is what is left. Both times are seconds from now: ``retry_after`` until it
    would fit (0 where it did), ``reset_after`` within which no more than ``remaining`` may be
    used.
    """

    allowed: bool
    remaining: int
    retry_after: float
    reset_after: float


def _clock_of(storage: Storage) -> Callable[[], float]:
    # Other storages read the system's clock: what they say is compared with the same.
    return storage.clock if isinstance(storage, SQLiteStorage) else time.time


class FixedWindow(library.FixedWindowRateLimiter):
    """So many in a window that begins with the first hit; then all at once again."""

    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self._clock = _clock_of(storage)

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take ``cost`` if it fits. On our storage a refused hit is not counted."""
        if not isinstance(self.storage, SQLiteStorage):
            # The library counts refused hits as well: a large cost that fails must not be taken.
            fits = cost == 1 or self.test(item, *identifiers, cost=cost)
            return fits and super().hit(item, *identifiers, cost=cost)
        return self.hit_with_stats(item, *identifiers, cost=cost).allowed

    def hit_with_stats(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> HitResult:
        """Hit, and return the window as the hit left it; raises what the storage raises."""
        if isinstance(self.storage, SQLiteStorage):
            used, ends, allowed = self.storage.hit_fixed_window(
                item.key_for(*identifiers), item.amount, item.get_expiry(), cost
            )
            return self._result(item, used, ends, allowed=allowed)
        return self._read(item, *identifiers, allowed=self.hit(item, *identifiers, cost=cost))

    def test_with_stats(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> HitResult:
        """Return what ``hit_with_stats`` would, and take nothing."""
        return self._read(item, *identifiers, allowed=self.test(item, *identifiers, cost=cost))

    def _read(self, item: RateLimitItem, *identifiers: str, allowed: bool) -> HitResult:
        key = item.key_for(*identifiers)
        used = self.storage.get(key)
        return self._result(item, used, self.storage.get_expiry(key), allowed=allowed)

    def _result(self, item: RateLimitItem, used: int, ends: float, *, allowed: bool) -> HitResult:
        rest = max(0.0, ends - self._clock()) if used else float(item.get_expiry())
        return HitResult(allowed, max(0, item.amount - used), 0.0 if allowed else rest, rest)


class MovingWindow(library.MovingWindowRateLimiter):
    """No interval of the window's length ever holds more."""

    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self._clock = _clock_of(storage)

    def hit_with_stats(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> HitResult:
        """Hit, and return the window as the hit left it; raises what the storage raises."""
        expiry = item.get_expiry()
        if isinstance(self.storage, SQLiteStorage):
            allowed, used, fits_after = self.storage.hit_moving_window(
                item.key_for(*identifiers), item.amount, expiry, cost
            )
            wait = 0.0 if allowed else max(0.0, fits_after - self._clock())
            return HitResult(allowed, max(0, item.amount - used), wait, float(expiry))
        allowed = self.hit(item, *identifiers, cost=cost)
        result = self.test_with_stats(item, *identifiers, cost=0 if allowed else cost)
        return result._replace(allowed=allowed)

    def test_with_stats(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> HitResult:
        """Return what ``hit_with_stats`` would, and take nothing; it may wait too long."""
        reset_time, remaining = self.get_window_stats(item, *identifiers)
        expiry = float(item.get_expiry())
        allowed = cost <= remaining
        # The oldest hit leaves first; when the last of several does, is not known.
        wait = max(0.0, reset_time - self._clock()) if cost == 1 else expiry
        return HitResult(allowed, max(0, remaining), 0.0 if allowed else wait, expiry)


class SlidingWindow(library.SlidingWindowCounterRateLimiter):
    """Two counters: this window's, and the previous one's by the share that still overlaps."""

    def hit_with_stats(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> HitResult:
        """Hit, and return the window as the hit left it; raises what the storage raises."""
        if isinstance(self.storage, SQLiteStorage):
            found = self.storage.hit_sliding_window(
                item.key_for(*identifiers), item.amount, item.get_expiry(), cost
            )
            allowed, windows = found.allowed, found[1:]
        else:
            allowed = self.hit(item, *identifiers, cost=cost)
            windows = self._windows(item, *identifiers)
        result = _sliding_result(item, 0 if allowed else cost, *windows)
        return result._replace(allowed=allowed)

    def test_with_stats(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> HitResult:
        """Return what ``hit_with_stats`` would, and take nothing."""
        return _sliding_result(item, cost, *self._windows(item, *identifiers))

    def _windows(self, item: RateLimitItem, *identifiers: str) -> tuple[int, float, int, float]:
        storage = cast("SlidingWindowCounterSupport", self.storage)
        return storage.get_sliding_window(item.key_for(*identifiers), item.get_expiry())


def _sliding_result(
    item: RateLimitItem, cost: int, previous: int, previous_ttl: float, current: int, ttl: float
) -> HitResult:
    limit, expiry = item.amount, item.get_expiry()
    used = floor(previous * previous_ttl / expiry) + current
    room = limit - cost - current  # what the previous window may still weigh
    if used + cost <= limit:
        wait = 0.0
    elif cost > limit:
        wait = float(expiry)  # never fits; a degraded limit may be whole again by then
    elif room >= 0:
        # floor(previous * rest / expiry) <= room, from when rest < expiry * (room + 1) / previous
        wait = previous_ttl - expiry * (room + 1) / previous
    else:
        # Not in this window; in the next, this one is the previous one.
        fits = expiry * (limit - cost + 1) / current
        wait = max(0.0, ttl - expiry) + max(0.0, expiry - fits)
    allowed = used + cost <= limit
    return HitResult(allowed, max(0, limit - used), max(0.0, wait), float(expiry))


Strategy = FixedWindow | MovingWindow | SlidingWindow
STRATEGIES: dict[str, type[FixedWindow] | type[MovingWindow] | type[SlidingWindow]] = {
    "fixed-window": FixedWindow,
    "moving-window": MovingWindow,
    "sliding-window-counter": SlidingWindow,
}


def registered_name(strategy: str) -> str:
    """Return the name by which `limits` and Flask-Limiter know one of STRATEGIES."""
    return f"secureml-{strategy}"


# Beside the library's own, whose names keep their meaning for other users in this process.
library.STRATEGIES.update({registered_name(name): made for name, made in STRATEGIES.items()})
