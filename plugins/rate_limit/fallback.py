"""What happens to a limit when its storage fails: fail closed, degrade, or fail open.

``refuse`` lets nobody through, ``allow`` everybody; ``degrade`` goes on counting in each
process by itself, each with its share, so that together they allow no more than the limit.
A storage that failed three times in a row is left alone for a second (a circuit breaker): a
request must not wait for the same timeout again and again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage

from .rules import AppliedLimit, Rule
from .strategies import STRATEGIES, HitResult, Strategy

REFUSE, DEGRADE, ALLOW = "refuse", "degrade", "allow"
FAILURE_MODES = (REFUSE, DEGRADE, ALLOW)
_MAX_FAILURES, _OPEN_SECONDS = 3, 1.0
MAX_KEYS = 50_000  # counted in a process by itself; strangers choose how many addresses they are

log = logging.getLogger("secureml.rate_limit")


class StorageUnavailable(Exception):
    """The storage of a limit fails, and the limit refuses then."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.name)
        self.rule = rule


class BoundLimit(NamedTuple):
    """An applied limit with its item and the strategy that decides it."""

    applied: AppliedLimit
    item: RateLimitItem
    strategy: Strategy


class Registry(Protocol):
    """What this module asks of `LimiterRegistry`."""

    @property
    def items(self) -> Mapping[Rule, RateLimitItem]: ...
    def strategy(self, rule: Rule) -> Strategy: ...
    def storages(self) -> Sequence[Storage]: ...


class FallbackLimiter:
    """Hits and tests limits, whatever the state of their storage.

    ``divisor`` is what a degraded limit is divided by; ``now`` gives epoch seconds.
    """

    def __init__(
        self,
        registry: Registry,
        divisor: int,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._divisor = registry, divisor
        self._now, self._monotonic = now, monotonic
        self._failures, self._open_until = 0, 0.0
        self._memory: tuple[int, MemoryStorage | None, dict[str, Strategy]] = (0, None, {})
        self._lock = threading.Lock()

    def bind(self, applied: AppliedLimit) -> BoundLimit:
        """Return a limit ready to be hit."""
        rule = applied.rule
        return BoundLimit(applied, self._registry.items[rule], self._registry.strategy(rule))

    def hit(self, bound: BoundLimit, cost: int) -> HitResult | None:
        """Take ``cost`` if it fits; None where the storage fails and the limit fails open.

        Raises StorageUnavailable where the limit fails closed.
        """
        if self._may_ask():
            key = bound.applied.key_at(self._now())
            try:
                result = bound.strategy.hit_with_stats(bound.item, key, cost=cost)
            except StorageError as error:
                self._failed(bound.applied.rule, error)
            else:
                self._failures = 0
                return result
        strategy, item, key = self._fallback(bound)
        return strategy.hit_with_stats(item, key, cost=cost) if strategy else None

    def test(self, bound: BoundLimit, cost: int) -> HitResult | None:
        """Return what ``hit`` would, and take nothing."""
        if self._may_ask():
            key = bound.applied.key_at(self._now())
            try:
                result = bound.strategy.test_with_stats(bound.item, key, cost=cost)
            except StorageError as error:
                self._failed(bound.applied.rule, error)
            else:
                self._failures = 0
                return result
        strategy, item, key = self._fallback(bound)
        return strategy.test_with_stats(item, key, cost=cost) if strategy else None

    def clear(self, bound: BoundLimit) -> None:
        """Forget what was counted; raises StorageError."""
        bound.strategy.clear(bound.item, bound.applied.key_at(self._now()))

    def is_failing(self) -> bool:
        """Tell whether a storage that is needed fails now."""
        try:
            return not all(storage.check() for storage in self._registry.storages())
        except StorageError:
            return True

    def _may_ask(self) -> bool:
        return self._failures < _MAX_FAILURES or self._monotonic() >= self._open_until

    def _failed(self, rule: Rule, error: StorageError) -> None:
        self._failures += 1
        if self._failures >= _MAX_FAILURES:
            self._open_until = self._monotonic() + _OPEN_SECONDS
        cause = error.__cause__ or error
        log.error(
            "the storage of the rate limits fails (%s: %s); limit %r: %s",
            type(cause).__name__, cause, rule.name, rule.on_storage_failure,
        )  # fmt: skip

    def _fallback(self, bound: BoundLimit) -> tuple[Strategy | None, RateLimitItem, str]:
        rule, item = bound.applied.rule, bound.item
        if rule.on_storage_failure == REFUSE:
            raise StorageUnavailable(rule)
        if rule.on_storage_failure == ALLOW:
            return None, item, ""
        share = type(item)(max(1, item.amount // self._divisor), item.multiples)
        return self._memory_strategy(rule.strategy), share, bound.applied.key_at(self._now())

    def _memory_strategy(self, name: str) -> Strategy:
        with self._lock:
            pid, storage, strategies = self._memory
            if pid == os.getpid() and storage is not None and _has_room(storage):
                return strategies[name]
            if pid == os.getpid():
                log.warning("more than %d keys in the memory of this process: reset", MAX_KEYS)
            storage = MemoryStorage()  # starts a thread, so only where it is needed
            strategies = {key: made(storage) for key, made in STRATEGIES.items()}
            self._memory = os.getpid(), storage, strategies
            return strategies[name]


def _has_room(storage: MemoryStorage) -> bool:
    # It removes what is over when it is next used, but never the empty list of a moving window.
    return len(storage.expirations) + len(storage.events) + len(storage.locks) < MAX_KEYS
