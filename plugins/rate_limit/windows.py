"""The strategies of `limits`, made to say what is left and when more will fit.

On our own storage one transaction answers it all; on any other (Redis, memory) the strategy of
the library decides and its statistics are asked after. A wait is never shorter than the truth
at the moment it was read; where a storage does not tell enough, it is the whole window.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import NamedTuple, cast

from limits import RateLimitItem
from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)

from .sqlite_storage import SQLiteStorage


class Outcome(NamedTuple):
    """Whether it fitted, what is left, and seconds: until it would fit (0 where it did), and
    within which no more than what is left may be used."""

    allowed: bool
    left: int
    wait: float
    window: float


class FixedWindow(FixedWindowRateLimiter):
    """So many in a window that begins with the first; then all at once again."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        super().__init__(storage)
        self.clock = clock

    def reserve(self, item: RateLimitItem, key: str, cost: int) -> Outcome:
        """Take ``cost`` if it fits; raises what the storage raises."""
        if isinstance(self.storage, SQLiteStorage):
            used, ends, allowed = self.storage.take_fixed(
                item.key_for(key), item.amount, item.get_expiry(), cost
            )
            return self._outcome(item, used, ends, allowed=allowed)
        # The library counts what it refuses as well: a large cost that fails must not be taken.
        allowed = (cost == 1 or self.test(item, key, cost=cost)) and self.hit(item, key, cost=cost)
        return self._read(item, key, allowed=allowed)

    def look(self, item: RateLimitItem, key: str, cost: int) -> Outcome:
        """Tell what ``reserve`` would say, and take nothing."""
        return self._read(item, key, allowed=self.test(item, key, cost=cost))

    def _read(self, item: RateLimitItem, key: str, *, allowed: bool) -> Outcome:
        name = item.key_for(key)
        used = self.storage.get(name)
        return self._outcome(item, used, self.storage.get_expiry(name), allowed=allowed)

    def _outcome(self, item: RateLimitItem, used: int, ends: float, *, allowed: bool) -> Outcome:
        rest = max(0.0, ends - self.clock()) if used else float(item.get_expiry())
        return Outcome(allowed, max(0, item.amount - used), 0.0 if allowed else rest, rest)


class MovingWindow(MovingWindowRateLimiter):
    """No stretch of time of the window's length ever holds more."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        super().__init__(storage)
        self.clock = clock

    def reserve(self, item: RateLimitItem, key: str, cost: int) -> Outcome:
        """Take ``cost`` if it fits; raises what the storage raises."""
        expiry = item.get_expiry()
        if isinstance(self.storage, SQLiteStorage):
            allowed, used, frees = self.storage.take_moving(
                item.key_for(key), item.amount, expiry, cost
            )
            wait = 0.0 if allowed else max(0.0, frees - self.clock())
            return Outcome(allowed, max(0, item.amount - used), wait, float(expiry))
        allowed = self.hit(item, key, cost=cost)
        return self.look(item, key, 0 if allowed else cost)._replace(allowed=allowed)

    def look(self, item: RateLimitItem, key: str, cost: int) -> Outcome:
        """Tell what ``reserve`` would say, and take nothing; the wait may be too long."""
        ends, left = self.get_window_stats(item, key)
        expiry = float(item.get_expiry())
        allowed = cost <= left
        # The oldest leaves first; when the last of several does, is not told.
        wait = max(0.0, ends - self.clock()) if cost == 1 else expiry
        return Outcome(allowed, max(0, left), 0.0 if allowed else wait, expiry)


class SlidingWindow(SlidingWindowCounterRateLimiter):
    """Two counters: this window's, and the one before by the share still in sight."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        super().__init__(storage)
        self.clock = clock

    def reserve(self, item: RateLimitItem, key: str, cost: int) -> Outcome:
        """Take ``cost`` if it fits; raises what the storage raises."""
        if isinstance(self.storage, SQLiteStorage):
            found = self.storage.take_sliding(
                item.key_for(key), item.amount, item.get_expiry(), cost
            )
            allowed, windows = found.allowed, found[1:]
        else:
            allowed, windows = self.hit(item, key, cost=cost), self._windows(item, key)
        outcome = _sliding_outcome(item, 0 if allowed else cost, *windows)
        return outcome._replace(allowed=allowed)

    def look(self, item: RateLimitItem, key: str, cost: int) -> Outcome:
        """Tell what ``reserve`` would say, and take nothing."""
        return _sliding_outcome(item, cost, *self._windows(item, key))

    def _windows(self, item: RateLimitItem, key: str) -> tuple[int, float, int, float]:
        storage = cast("SlidingWindowCounterSupport", self.storage)
        return storage.get_sliding_window(item.key_for(key), item.get_expiry())


def _sliding_outcome(
    item: RateLimitItem, cost: int, previous: int, previous_ttl: float, current: int, ttl: float
) -> Outcome:
    limit, expiry = item.amount, item.get_expiry()
    used = floor(previous * previous_ttl / expiry) + current
    room = limit - cost - current  # what may still weigh from the window before
    if used + cost <= limit:
        wait = 0.0
    elif room >= 0:
        # floor(previous * rest / expiry) <= room, from when rest < expiry * (room + 1) / previous
        wait = previous_ttl - expiry * (room + 1) / previous
    else:
        # Not in this window; in the next, this one is the one before.
        fits = expiry * (limit - cost + 1) / current
        wait = max(0.0, ttl - expiry) + max(0.0, expiry - fits)
    allowed = used + cost <= limit
    return Outcome(allowed, max(0, limit - used), max(0.0, wait), float(expiry))


Window = FixedWindow | MovingWindow | SlidingWindow
STRATEGIES: dict[str, type[FixedWindow] | type[MovingWindow] | type[SlidingWindow]] = {
    "fixed-window": FixedWindow,
    "moving-window": MovingWindow,
    "sliding-window-counter": SlidingWindow,
}
