"""Counting, and what happens when the store of the counters fails: as each limit says.

``refuse`` lets nobody through, ``allow`` everybody; ``degrade`` goes on counting in each
process by itself, each with its share, so that together they allow no more than the limit.
A store that failed three times in a row is left alone for a second: a request must not wait
for the same silence again and again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MemoryStorage

from .declared import Declared
from .rules import Claim, Rule
from .windows import STRATEGIES, Outcome, Window

REFUSE, DEGRADE, ALLOW = "refuse", "degrade", "allow"
HANDLINGS = (REFUSE, DEGRADE, ALLOW)
_TRIES, _REST = 3, 1.0
MOST = 50_000  # keys that a process counts by itself; strangers choose how many addresses they are

log = logging.getLogger("secureml.rate_limit")


class StoreFails(Exception):
    """The counters cannot be asked, and the limit says to refuse then."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.name)
        self.rule = rule


class Bound(NamedTuple):
    """A claim with what counts it."""

    claim: Claim
    item: RateLimitItem
    window: Window


class Counting:
    """Reserves and looks, whatever the state of the store."""

    def __init__(
        self,
        declared: Declared,
        share: int,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._declared, self._share = declared, share
        self._now, self._monotonic = now, monotonic
        self._failures, self._rests_until = 0, 0.0
        self._memory: tuple[int, MemoryStorage | None, dict[str, Window]] = (0, None, {})
        self._lock = threading.Lock()

    def bind(self, claim: Claim) -> Bound:
        """Return a claim ready to be counted."""
        rule = claim.rule
        window = self._declared.window(rule.strategy, lasting=rule.allowance.lasting)
        return Bound(claim, self._declared.items[rule], window)

    def reserve(self, bound: Bound, cost: int) -> Outcome | None:
        """Take ``cost`` if it fits; None where nothing counts and it may pass.

        Raises StoreFails.
        """
        return self._ask(bound, cost, lambda window: window.reserve)

    def look(self, bound: Bound, cost: int) -> Outcome | None:
        """Tell what ``reserve`` would, and take nothing."""
        return self._ask(bound, cost, lambda window: window.look)

    def clear(self, bound: Bound) -> None:
        """Forget what was counted; raises StorageError."""
        bound.window.clear(bound.item, bound.claim.key_at(self._now()))

    def failing(self) -> bool:
        """Tell whether a store that is needed cannot be asked now."""
        try:
            for lasting in self._declared.in_use():
                if not self._declared.storage(lasting=lasting).check():
                    return True
        except StorageError:
            return True
        return False

    def _ask(
        self,
        bound: Bound,
        cost: int,
        method: Callable[[Window], Callable[[RateLimitItem, str, int], Outcome]],
    ) -> Outcome | None:
        key = bound.claim.key_at(self._now())
        if self._failures < _TRIES or self._monotonic() >= self._rests_until:
            try:
                outcome = method(bound.window)(bound.item, key, cost)
            except StorageError as error:
                self._failed(bound.claim.rule, error)
            else:
                self._failures = 0
                return outcome
        rule = bound.claim.rule
        if rule.when_store_fails == REFUSE:
            raise StoreFails(rule)
        if rule.when_store_fails == ALLOW:
            return None
        return method(self._own_window(rule.strategy))(self._own_item(bound.item), key, cost)

    def _failed(self, rule: Rule, error: StorageError) -> None:
        self._failures += 1
        if self._failures >= _TRIES:
            self._rests_until = self._monotonic() + _REST
        cause = error.__cause__ or error
        log.error(
            "the store of the counters fails (%s: %s); limit %r: %s",
            type(cause).__name__, cause, rule.name, rule.when_store_fails,
        )  # fmt: skip

    def _own_item(self, item: RateLimitItem) -> RateLimitItem:
        return type(item)(max(1, item.amount // self._share), item.multiples)

    def _own_window(self, strategy: str) -> Window:
        with self._lock:
            pid, storage, windows = self._memory
            if pid == os.getpid() and storage is not None and _has_room(storage):
                return windows[strategy]
            if pid == os.getpid():
                log.warning("more than %d keys are counted in this process: all begin anew", MOST)
            storage = MemoryStorage()  # starts a thread, so only where it is needed
            windows = {name: made(storage, time.time) for name, made in STRATEGIES.items()}
            self._memory = os.getpid(), storage, windows
            return windows[strategy]


def _has_room(storage: MemoryStorage) -> bool:
    # It removes what is over when it is next used, but never the empty list of a moving window.
    return len(storage.expirations) + len(storage.events) + len(storage.locks) < MOST
