"""The limits of one request: which apply, what is taken, and what is given back.

A hit is made before the work it is for. When one limit refuses, the others are tested as well,
so that the wait that the client is told is long enough for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

from .concurrency import ConcurrencyLimiter, Permit
from .failure_cache import FailureCache
from .fallback import REFUSE, BoundLimit, FallbackLimiter, StorageUnavailable
from .rules import (
    ADDRESS,
    CONCURRENCY,
    EVERYONE,
    FAILURES,
    REQUESTS,
    ROWS,
    AppliedLimit,
    RequestFacts,
    Rule,
    calendar_month,
    matching,
)
from .strategies import HitResult

_MAX_PLANS = 4096  # names of models and addresses may come from outside, so they are bounded
# Why a request is refused.
RATE_EXCEEDED, CONCURRENCY_EXCEEDED, COST_TOO_LARGE, BANNED = "rate", "concurrency", "cost", "ban"


class LimitExceeded(Exception):
    """A limit refuses: ``cause`` says why, ``retry_after`` in how many seconds it may not."""

    def __init__(self, cause: str, rule: Rule | None, subject: str, retry_after: float) -> None:
        super().__init__(cause)
        self.cause, self.rule, self.subject = cause, rule, subject
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """The limits that apply to a kind of request, by when they are taken."""

    concurrency: tuple[AppliedLimit, ...]
    requests: tuple[BoundLimit, ...]
    rows: tuple[BoundLimit, ...]
    failures: tuple[BoundLimit, ...]


@dataclass(slots=True)
class RequestState:
    """What one request holds and what its limits answered.

    ``exempt`` is a health check: it is counted, but neither bans, concurrency nor a failing
    storage refuse it. ``storage_failed`` names a limit whose storage failed, or is "".
    """

    address: str = ""
    exempt: bool = False
    permits: list[Permit] = field(default_factory=list)
    rows: tuple[BoundLimit, ...] = ()
    failures: tuple[BoundLimit, ...] = ()
    passed: list[tuple[Rule, HitResult]] = field(default_factory=list)
    exceeded: list[tuple[Rule, HitResult]] = field(default_factory=list)
    storage_failed: str = ""


class Enforcer:
    """Finds the limits of a request and hits them."""

    def __init__(
        self,
        rules: Sequence[Rule],
        limiter: FallbackLimiter,
        concurrency: ConcurrencyLimiter,
        failure_cache: FailureCache,
        now: Callable[[], float],
    ) -> None:
        self._limiter, self._concurrency = limiter, concurrency
        self._failure_cache, self._now = failure_cache, now
        # First what needs no credential: limits by address, and concurrency of everyone.
        self._before_credentials = [rule for rule in rules if _needs_no_credential(rule)]
        self._after_credentials = [rule for rule in rules if not _needs_no_credential(rule)]
        self._plans: dict[tuple[bool, RequestFacts], LimitPlan] = {}

    def plan(self, facts: RequestFacts, *, authenticated: bool) -> LimitPlan:
        """Return the limits that apply before or after it is known who calls."""
        plan = self._plans.get((authenticated, facts))
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            rules = self._after_credentials if authenticated else self._before_credentials
            limits = matching(rules, facts)
            plan = self._plans[authenticated, facts] = LimitPlan(
                tuple(one for one in limits if one.rule.allowance.kind == CONCURRENCY),
                *(self._bind(limits, unit) for unit in (REQUESTS, ROWS, FAILURES)),
            )
        return plan

    def _bind(self, limits: Iterable[AppliedLimit], unit: str) -> tuple[BoundLimit, ...]:
        return tuple(
            self._limiter.bind(applied)
            for applied in limits
            if applied.rule.unit == unit and applied.rule.allowance.kind != CONCURRENCY
        )

    def acquire(self, state: RequestState, limits: Iterable[AppliedLimit]) -> None:
        """Take a permit of each concurrency limit; raises LimitExceeded, StorageUnavailable."""
        for applied in limits:
            if state.exempt:
                return  # a health check must not depend on how busy the server is
            try:
                permit = self._concurrency.acquire(applied.key, applied.rule.allowance.amount)
            except OSError as error:
                state.storage_failed = applied.rule.name
                if applied.rule.on_storage_failure == REFUSE:
                    raise StorageUnavailable(applied.rule) from error
                continue
            if permit is None:
                raise LimitExceeded(CONCURRENCY_EXCEEDED, applied.rule, applied.subject, 0.0)
            state.permits.append(permit)

    def check_failures(self, state: RequestState) -> None:
        """Refuse an address that failed too often; raises LimitExceeded, StorageUnavailable.

        Whether this request will fail is not known yet, so nothing is counted.
        """
        for bound in state.failures:
            if self._failure_cache.has_none(bound.applied.key):
                continue
            generation = self._failure_cache.generation()
            result = self._ask(state, bound, 1, self._limiter.test)
            if result is None:
                continue
            if not result.allowed:
                self._refuse(state, bound, result, ())
            if result.remaining == bound.item.amount:
                self._failure_cache.remember(bound.applied.key, generation)

    def charge(self, state: RequestState, limits: Sequence[BoundLimit], cost: int) -> None:
        """Hit each limit by ``cost``; raises LimitExceeded, StorageUnavailable."""
        for index, bound in enumerate(limits):
            if cost > bound.item.amount:
                raise LimitExceeded(COST_TOO_LARGE, bound.applied.rule, bound.applied.subject, inf)
            result = self._ask(state, bound, cost, self._limiter.hit)
            if result is None:
                continue
            if not result.allowed:
                self._refuse(state, bound, result, [(b, cost) for b in limits[index + 1 :]])
            state.passed.append((bound.applied.rule, result))

    def count_failure(self, state: RequestState) -> None:
        """Count a request that failed to authenticate."""
        for bound in state.failures:
            self._failure_cache.invalidate()
            try:
                self._limiter.hit(bound, 1)
            except StorageUnavailable:
                state.storage_failed = bound.applied.rule.name
            self._failure_cache.invalidate()

    def release(self, state: RequestState) -> None:
        """Give back the permits of a request."""
        for permit in state.permits:
            self._concurrency.release(permit)
        state.permits.clear()

    def _ask(
        self,
        state: RequestState,
        bound: BoundLimit,
        cost: int,
        method: Callable[[BoundLimit, int], HitResult | None],
    ) -> HitResult | None:
        try:
            result = method(bound, cost)
        except StorageUnavailable:
            state.storage_failed = bound.applied.rule.name
            if state.exempt:
                return None
            raise
        if result is None:
            state.storage_failed = bound.applied.rule.name
        elif bound.applied.rule.allowance.calendar:
            result = until_month_ends(result, self._now())
        return result

    def _refuse(
        self,
        state: RequestState,
        bound: BoundLimit,
        result: HitResult,
        others: Iterable[tuple[BoundLimit, int]],
    ) -> None:
        state.exceeded.append((bound.applied.rule, result))
        # A wait that ends while another limit is still exhausted would be too short.
        for other, cost in [*others, *((row, 1) for row in state.rows)]:
            try:
                also = self._ask(state, other, min(cost, other.item.amount), self._limiter.test)
            except StorageUnavailable:
                continue
            if also is not None and not also.allowed:
                state.exceeded.append((other.applied.rule, also))
        wait = max(each.retry_after for _, each in state.exceeded)
        raise LimitExceeded(RATE_EXCEEDED, bound.applied.rule, bound.applied.subject, wait)


def _needs_no_credential(rule: Rule) -> bool:
    return rule.target == ADDRESS or (
        rule.target == EVERYONE and rule.allowance.kind == CONCURRENCY
    )


def until_month_ends(result: HitResult, now: float) -> HitResult:
    """Return the result of a window that ends with the calendar month."""
    rest = calendar_month(now)[1] - now
    return result._replace(retry_after=0.0 if result.allowed else rest, reset_after=rest)
