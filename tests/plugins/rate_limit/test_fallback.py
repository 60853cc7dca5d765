"""What each limit does while its storage fails: fail closed, degrade, or fail open."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage

from plugins.rate_limit import fallback
from plugins.rate_limit.fallback import FallbackLimiter, StorageUnavailable
from plugins.rate_limit.rules import RequestFacts, Rule, apply_rule, parse_allowance
from plugins.rate_limit.strategies import STRATEGIES
from secureml.testing import Clock


class SwitchableStorage(MemoryStorage):
    """A storage that can be switched off, and counts how often it is asked."""

    STORAGE_SCHEME = None
    off = False
    asked = 0

    def _ask(self):
        self.asked += 1
        if self.off:
            raise StorageError(OSError("gone"))

    def incr(self, *args, **options):
        self._ask()
        return super().incr(*args, **options)

    def get(self, *args):
        self._ask()
        return super().get(*args)

    def acquire_entry(self, *args, **options):
        self._ask()
        return super().acquire_entry(*args, **options)

    def acquire_sliding_window_entry(self, *args, **options):
        self._ask()
        return super().acquire_sliding_window_entry(*args, **options)

    def check(self):
        self._ask()
        return True


class FakeRegistry:
    """As much of `LimiterRegistry` as the limiter asks for."""

    def __init__(self, *rules):
        self.items = {rule: parse(rule.allowance.notation) for rule in rules}
        self.storage = SwitchableStorage()

    def storages(self):
        return [self.storage]

    def strategy(self, rule):
        return STRATEGIES[rule.strategy](self.storage)


def rule(handling, allow="10 per hour", strategy="fixed-window", target="client", name="r"):
    allowance = parse_allowance(allow)
    return Rule(name, target, "", "", "", "requests", allowance, strategy, handling, "test")


class Setup:
    """A limiter over one rule and a storage that can be switched off."""

    def __init__(self, handling, allow="10 per hour", divisor=4, strategy="fixed-window"):
        self.rule = rule(handling, allow, strategy)
        registry = FakeRegistry(self.rule)
        self.storage, self.clock = registry.storage, Clock()
        self.limiter = FallbackLimiter(registry, divisor, self.clock, monotonic=self.clock)
        self.bound = self.bind("acme")

    def bind(self, client):
        return self.limiter.bind(apply_rule(self.rule, RequestFacts(client=client)))

    def hit(self, cost=1):
        return self.limiter.hit(self.bound, cost)

    def allowed(self, times):
        """Return how many of so many hits are allowed."""
        return sum(self.hit().allowed for _ in range(times))


def test_while_the_storage_works_every_mode_is_the_same():
    for handling in fallback.FAILURE_MODES:
        assert Setup(handling, "3 per hour").allowed(9) == 3


def test_refuse_fails_closed_and_names_the_limit():
    one = Setup("refuse")
    assert one.hit().allowed
    one.storage.off = True
    with pytest.raises(StorageUnavailable) as failed:
        one.hit()
    assert failed.value.rule is one.rule
    with pytest.raises(StorageUnavailable):
        one.limiter.test(one.bound, 1)


def test_allow_fails_open_and_returns_no_result():
    one = Setup("allow")
    one.storage.off = True
    assert [one.hit() for _ in range(50)] == [None] * 50
    assert one.limiter.test(one.bound, 1) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_degrade_counts_the_share_of_each_process(strategy):
    one = Setup("degrade", "10 per hour", divisor=4, strategy=strategy)
    one.storage.off = True
    assert one.allowed(50) == 10 // 4
    assert not one.limiter.test(one.bound, 1).allowed
    assert one.limiter.hit(one.bind("other"), 1).allowed, "each key has its own"


@given(amount=st.integers(1, 300), divisor=st.integers(1, 40))
def test_the_shares_of_all_processes_are_never_more_than_the_limit(amount, divisor):
    """Save for the one hit in each process that a share is at least."""
    one = Setup("degrade", f"{amount} per hour", divisor)
    one.storage.off = True
    share = one.allowed(amount // divisor + 2)
    assert share == max(1, amount // divisor)
    assert share * divisor <= max(amount, divisor)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_degraded_limit_refuses_a_cost_beyond_its_share_and_names_a_wait(strategy):
    """The limit would allow it, so it is not refused for ever."""
    one = Setup("degrade", "10 per hour", divisor=2, strategy=strategy)
    one.storage.off = True
    refused = one.hit(cost=6)
    assert not refused.allowed
    assert 0 < refused.retry_after <= 3600
    assert one.hit(cost=5).allowed
    assert not one.hit(cost=6).allowed


def test_a_child_process_counts_its_own_share():
    one = Setup("degrade", "8 per hour", divisor=4)
    one.storage.off = True
    assert one.allowed(5) == 2
    child = os.fork()
    if child == 0:
        os._exit(one.allowed(5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_after_three_failures_the_storage_is_left_alone_for_a_second():
    """A request must not wait for the same timeout again and again."""
    one = Setup("allow")
    one.storage.off = True
    for _ in range(20):
        one.hit()
    assert one.storage.asked == 3
    one.clock.advance(0.9)
    one.hit()
    assert one.storage.asked == 3
    one.clock.advance(0.1)
    one.hit()
    assert one.storage.asked == 4
    one.hit()
    assert one.storage.asked == 4, "it failed again: another second"


def test_a_storage_that_is_back_is_used_again():
    one = Setup("refuse", "5 per hour")
    assert one.allowed(2) == 2
    one.storage.off = True
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            one.hit()
    one.storage.off = False
    with pytest.raises(StorageUnavailable):
        one.hit()
    one.clock.advance(1.0)
    assert one.allowed(9) == 3, "what was counted before still counts"


def test_one_success_resets_the_count_of_failures():
    one = Setup("allow")
    for _ in range(5):
        one.storage.off = True
        one.hit()
        one.hit()
        one.storage.off = False
        assert one.hit() is not None
    assert one.storage.asked >= 15


def test_each_failure_is_logged_with_its_cause_and_what_the_limit_does(caplog):
    one = Setup("degrade")
    one.storage.off = True
    one.hit()
    assert "the storage of the rate limits fails" in caplog.text
    assert "gone" in caplog.text
    assert "limit 'r': degrade" in caplog.text


def test_whether_a_storage_fails_can_be_asked():
    one = Setup("refuse")
    assert not one.limiter.is_failing()
    one.storage.off = True
    assert one.limiter.is_failing()


def test_clear_forgets_what_was_counted_and_raises_what_the_storage_raises(monkeypatch):
    one = Setup("refuse", "2 per hour")
    assert one.allowed(3) == 2
    one.limiter.clear(one.bound)
    assert one.allowed(3) == 2

    def fail(key):
        raise StorageError(OSError("gone"))

    monkeypatch.setattr(one.storage, "clear", fail)
    with pytest.raises(StorageError):
        one.limiter.clear(one.bound)


def test_a_calendar_month_has_a_key_of_its_own():
    one = Setup("refuse", "2 per calendar month")
    assert one.allowed(3) == 2
    one.clock.advance(31 * 86400)
    assert one.allowed(3) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_attack_many_addresses_do_not_fill_the_memory_of_a_degraded_process(
    strategy, monkeypatch, caplog
):
    """Addresses are keys, and the library never forgets those of a moving window."""
    monkeypatch.setattr(fallback, "MAX_KEYS", 200)
    limit = rule("degrade", "8 per hour", strategy, target="address")
    registry, clock = FakeRegistry(limit), Clock()
    limiter = FallbackLimiter(registry, 4, clock, monotonic=clock)
    registry.storage.off = True

    def bind(address):
        return limiter.bind(apply_rule(limit, RequestFacts(address)))

    for number in range(2000):
        assert limiter.hit(bind(f"10.0.0.{number}"), 1).allowed
        _, storage, _ = limiter._memory
        kept = len(storage.events) + len(storage.expirations) + len(storage.locks)
        assert kept < 210
    assert "reset" in caplog.text
    assert sum(limiter.hit(bind("192.0.2.1"), 1).allowed for _ in range(9)) == 2
