"""The limits of one request: what is hit, what is given back, and what a refusal says."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.rate_limit.enforcer import (
    CONCURRENCY_EXCEEDED,
    COST_TOO_LARGE,
    RATE_EXCEEDED,
    Enforcer,
    LimitExceeded,
    RequestState,
    until_month_ends,
)
from plugins.rate_limit.fallback import BoundLimit, StorageUnavailable
from plugins.rate_limit.rules import RequestFacts, Rule, parse_allowance
from plugins.rate_limit.strategies import HitResult
from secureml import Problem

ACME = RequestFacts("", "acme", "standard", "", "")


class Item:
    """An item of `limits`, as much of it as is asked for."""

    def __init__(self, amount):
        self.amount = amount


class FakeLimiter:
    """Counters in a dictionary; ``broken`` names the limits whose storage fails."""

    def __init__(self):
        self.used, self.asked, self.broken = {}, [], set()

    def bind(self, applied):
        return BoundLimit(applied, Item(applied.rule.allowance.amount), None)

    def hit(self, bound, cost):
        result = self.test(bound, cost)
        if result is not None and result.allowed:
            key = bound.applied.key, bound.applied.rule.name
            self.used[key] = self.used.get(key, 0) + cost
            return result._replace(remaining=result.remaining - cost)
        return result

    def test(self, bound, cost):
        rule = bound.applied.rule
        self.asked.append(rule.name)
        if rule.name in self.broken:
            if rule.on_storage_failure == "refuse":
                raise StorageUnavailable(rule)
            return None
        remaining = rule.allowance.amount - self.used.get((bound.applied.key, rule.name), 0)
        wait = 0.0 if cost <= remaining else float(rule.allowance.seconds or 1e9)
        return HitResult(cost <= remaining, remaining, wait, float(rule.allowance.seconds or 1e9))


class FakeConcurrency:
    """Permits in a set."""

    def __init__(self):
        self.held, self.fails = set(), False

    def acquire(self, key, limit):
        if self.fails:
            raise OSError("gone")
        free = [n for n in range(limit) if (key, n) not in self.held]
        if not free:
            return None
        self.held.add((key, free[0]))
        return key, free[0]

    def release(self, permit):
        self.held.discard(permit)


class NoCache:
    """A failure cache that remembers what it is told, and is never believed unless asked to."""

    def __init__(self):
        self.remembered, self.invalidated, self.answer = [], 0, False

    def has_none(self, key):
        return self.answer

    def generation(self):
        return b"generation"

    def remember(self, key, generation):
        self.remembered.append((key, generation))

    def invalidate(self):
        self.invalidated += 1


def rule(name, target, allow, unit="requests", handling="refuse", model=""):
    allowance = parse_allowance(allow)
    return Rule(name, target, "", "", model, unit, allowance, "fixed-window", handling, "test")


class Setup:
    """An enforcer over rules, with fakes of all that it uses."""

    def __init__(self, *rules):
        self.limiter, self.concurrency, self.cache = FakeLimiter(), FakeConcurrency(), NoCache()
        self.enforcer = Enforcer(rules, self.limiter, self.concurrency, self.cache, lambda: 0.0)

    def plan(self, facts=ACME, authenticated=True):
        return self.enforcer.plan(facts, authenticated=authenticated)


def refused(call, *args):
    with pytest.raises(LimitExceeded) as found:
        call(*args)
    return found.value


# -- plans -------------------------------------------------------------------------------------


def test_plans_are_made_once_for_each_kind_of_request_and_bounded():
    one = Setup(rule("c", "client", "5 per minute"))
    assert one.plan() is one.plan()
    for n in range(5000):
        one.plan(RequestFacts(f"198.51.100.{n}"), authenticated=False)
    assert len(one.enforcer._plans) <= 4096


def test_before_credentials_come_addresses_and_the_concurrency_of_everyone():
    rules = [
        rule("address", "address", "5 per minute"),
        rule("failures", "address", "5 per minute", unit="failures"),
        rule("server", "everyone", "8 at once"),
        rule("total", "everyone", "5 per minute"),
        rule("client", "client", "5 per minute"),
        rule("rows", "client", "5 per minute", unit="rows"),
        rule("mine", "client", "2 at once"),
    ]
    one = Setup(*rules)
    facts = ACME._replace(address="192.0.2.1")

    def shown(plan):
        parts = (plan.concurrency, plan.requests, plan.rows, plan.failures)
        applied = [[getattr(one, "applied", one) for one in part] for part in parts]
        return [[one.rule.name for one in part] for part in applied]

    assert shown(one.plan(facts, authenticated=False)) == [
        ["server"],
        ["address"],
        [],
        ["failures"],
    ]
    assert shown(one.plan(facts)) == [["mine"], ["total", "client"], ["rows"], []]


# -- charging ----------------------------------------------------------------------------------


def test_a_refusal_names_the_limit_the_subject_and_the_wait():
    one = Setup(rule("c", "client", "1 per minute"))
    one.enforcer.charge(RequestState(), one.plan().requests, 1)
    state = RequestState()
    error = refused(one.enforcer.charge, state, one.plan().requests, 1)
    assert (error.cause, error.rule.name, error.subject) == (RATE_EXCEEDED, "c", "client:acme")
    assert error.retry_after == 60 == state.exceeded[0][1].retry_after


def test_a_limit_after_the_one_that_refuses_is_tested_and_not_hit():
    one = Setup(rule("minute", "client", "1 per minute"), rule("hour", "client", "5 per hour"))
    one.enforcer.charge(RequestState(), one.plan().requests, 1)
    refused(one.enforcer.charge, RequestState(), one.plan().requests, 1)
    (hour,) = (bound for bound in one.plan().requests if bound.applied.rule.name == "hour")
    assert one.limiter.test(hour, 1).remaining == 4


def test_the_wait_is_that_of_the_slowest_exhausted_limit():
    one = Setup(rule("minute", "client", "1 per minute"), rule("hour", "client", "1 per hour"))
    one.enforcer.charge(RequestState(), one.plan().requests, 1)
    state = RequestState()
    error = refused(one.enforcer.charge, state, one.plan().requests, 1)
    assert (error.rule.name, error.retry_after) == ("minute", 3600)
    assert [found.name for found, _ in state.exceeded] == ["minute", "hour"]


def test_a_refused_request_also_waits_for_its_limits_in_rows():
    one = Setup(
        rule("requests", "client", "1 per minute"), rule("rows", "client", "5 per hour", "rows")
    )
    plan = one.plan()
    one.enforcer.charge(RequestState(), plan.requests, 1)
    one.enforcer.charge(RequestState(), plan.rows, 5)
    error = refused(one.enforcer.charge, RequestState(rows=plan.rows), plan.requests, 1)
    assert error.retry_after == 3600


def test_a_cost_above_the_limit_is_refused_for_ever_and_takes_nothing():
    one = Setup(rule("c", "client", "10 per minute"))
    error = refused(one.enforcer.charge, RequestState(), one.plan().requests, 11)
    assert (error.cause, error.retry_after) == (COST_TOO_LARGE, inf)
    assert one.limiter.used == {}


@settings(deadline=None)
@given(
    limits=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    costs=st.lists(st.integers(1, 5), max_size=20),
)
def test_no_limit_is_ever_exceeded_and_what_passes_is_in_all(limits, costs):
    rules = [
        rule(f"r{n}", "client", f"{amount} per {n + 1} hours") for n, amount in enumerate(limits)
    ]
    one, passed = Setup(*rules), 0
    for cost in costs:
        try:
            one.enforcer.charge(RequestState(), one.plan().requests, cost)
            passed += cost
        except LimitExceeded as error:
            assert cost + passed > error.rule.allowance.amount or len(limits) > 1
    for bound in one.plan().requests:
        used = one.limiter.used.get((bound.applied.key, bound.applied.rule.name), 0)
        assert passed <= used <= bound.item.amount


# -- a storage that fails ----------------------------------------------------------------------


def test_a_limit_that_fails_closed_stops_the_request_and_is_named():
    one = Setup(rule("c", "client", "5 per minute"))
    one.limiter.broken.add("c")
    state = RequestState()
    with pytest.raises(StorageUnavailable):
        one.enforcer.charge(state, one.plan().requests, 1)
    assert state.storage_failed == "c"


def test_a_limit_that_fails_open_lets_the_next_one_decide():
    first = rule("first", "client", "5 per minute", handling="allow")
    one = Setup(first, rule("second", "client", "1 per hour"))
    one.limiter.broken.add("first")
    state = RequestState()
    one.enforcer.charge(state, one.plan().requests, 1)
    assert [found.name for found, _ in state.passed] == ["second"]
    assert state.storage_failed == "first"
    refused(one.enforcer.charge, RequestState(), one.plan().requests, 1)


def test_an_exempt_request_passes_a_storage_that_fails_and_is_counted_otherwise():
    one = Setup(rule("c", "client", "1 per minute"))
    one.limiter.broken.add("c")
    one.enforcer.charge(RequestState(exempt=True), one.plan().requests, 1)
    one.limiter.broken.clear()
    one.enforcer.charge(RequestState(exempt=True), one.plan().requests, 1)
    refused(one.enforcer.charge, RequestState(exempt=True), one.plan().requests, 1)


def test_a_second_limit_that_fails_does_not_hide_the_first_refusal():
    one = Setup(rule("minute", "client", "1 per minute"), rule("hour", "client", "5 per hour"))
    one.enforcer.charge(RequestState(), one.plan().requests, 1)
    one.limiter.broken.add("hour")
    assert (
        refused(one.enforcer.charge, RequestState(), one.plan().requests, 1).rule.name == "minute"
    )


# -- concurrency -------------------------------------------------------------------------------


def test_permits_are_held_until_they_are_released():
    one = Setup(rule("c", "client", "2 at once"))
    first, second = RequestState(), RequestState()
    for state in (first, second):
        one.enforcer.acquire(state, one.plan().concurrency)
    error = refused(one.enforcer.acquire, RequestState(), one.plan().concurrency)
    assert (error.cause, error.subject, error.retry_after) == (
        CONCURRENCY_EXCEEDED, "client:acme", 0.0,
    )  # fmt: skip
    one.enforcer.release(first)
    one.enforcer.release(first)
    one.enforcer.acquire(RequestState(), one.plan().concurrency)
    assert len(one.concurrency.held) == 2


def test_an_exempt_request_takes_no_permit():
    one = Setup(rule("c", "client", "1 at once"))
    for _ in range(3):
        one.enforcer.acquire(RequestState(exempt=True), one.plan().concurrency)
    assert one.concurrency.held == set()


@pytest.mark.parametrize(("handling", "passes"), [("refuse", 0), ("allow", 1), ("degrade", 1)])
def test_permits_that_cannot_be_taken_are_handled_as_the_limit_says(handling, passes):
    one = Setup(rule("c", "client", "1 at once", handling=handling))
    one.concurrency.fails = True
    state, found = RequestState(), 0
    try:
        one.enforcer.acquire(state, one.plan().concurrency)
        found = 1
    except StorageUnavailable as error:
        assert error.rule.name == "c"
    assert (found, state.storage_failed) == (passes, "c")


# -- failures ----------------------------------------------------------------------------------


def failing_setup(allow="2 per minute", handling="refuse"):
    one = Setup(rule("f", "address", allow, "failures", handling))
    plan = one.plan(RequestFacts("192.0.2.1"), authenticated=False)
    return one, RequestState("192.0.2.1", failures=plan.failures)


def test_an_address_is_refused_after_its_failures_and_not_by_the_check_itself():
    one, state = failing_setup()
    for _ in range(5):
        one.enforcer.check_failures(state)
    for _ in range(2):
        one.enforcer.count_failure(state)
    assert refused(one.enforcer.check_failures, state).subject == "address:192.0.2.1"


def test_an_address_without_failures_is_cached_with_the_generation_from_before():
    one, state = failing_setup()
    one.enforcer.check_failures(state)
    assert [generation for _, generation in one.cache.remembered] == [b"generation"]
    one.enforcer.count_failure(state)
    one.enforcer.check_failures(state)
    assert len(one.cache.remembered) == 1, "it has a failure now"


def test_a_cached_address_is_not_asked_about():
    one, state = failing_setup()
    one.cache.answer = True
    one.enforcer.check_failures(state)
    assert one.limiter.asked == []


def test_the_cache_is_invalidated_before_and_after_a_failure_is_counted():
    one, state = failing_setup()
    one.enforcer.count_failure(state)
    assert one.cache.invalidated == 2
    one.limiter.broken.add("f")
    one.enforcer.count_failure(state)
    assert (one.cache.invalidated, state.storage_failed) == (4, "f")


def test_a_window_of_the_calendar_month_ends_with_it():
    allowed, refusal = HitResult(True, 3, 0.0, 9.0), HitResult(False, 0, 9.0, 9.0)
    january = 30 * 86400.0
    assert until_month_ends(allowed, january) == HitResult(True, 3, 0.0, 86400.0)
    assert until_month_ends(refusal, january) == HitResult(False, 0, 86400.0, 86400.0)


# -- with the real parts -----------------------------------------------------------------------


def test_a_short_window_that_refuses_takes_nothing_from_a_long_one(limited):
    short, long = ({"for": "client", "allow": allow} for allow in ("2 per second", "100 ever"))
    one = limited(short, long)
    one.passed(20)
    one.clock.advance(10)
    _, headers = one.send()
    assert '"client-2";r=97' in headers["RateLimit"]


def test_permits_are_released_by_a_request_that_is_refused_later(limited):
    at_once, rate = ({"for": "client", "allow": allow} for allow in ("1 at once", "1 per minute"))
    one = limited(at_once, rate)
    one.passed(1)
    for _ in range(3):
        assert one.send()[0].reason == "rate_limit.client"


def test_a_concurrency_file_that_cannot_be_opened_is_handled_as_the_limit_says(limited):
    for handling, passes in (("refuse", False), ("allow", True)):
        limit = {"for": "client", "allow": "1 at once", "on_storage_failure": handling}
        one = limited(limit, counters="gone/counters.db")
        exchange = one.exchange()
        if passes:
            one.before_view(exchange)
        else:
            with pytest.raises(Problem, match="unavailable"):
                one.before_view(exchange)
        one.after_view(exchange)
