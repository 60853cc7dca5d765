"""What each limit does while its counters cannot be asked."""

from __future__ import annotations

import pytest
from limits.errors import StorageError
from limits.storage import MemoryStorage

from plugins.rate_limit import counting as counting_module
from plugins.rate_limit.allowance import read
from plugins.rate_limit.counting import Counting, StoreFails
from plugins.rate_limit.rules import Asker, Rule, claim_of
from plugins.rate_limit.windows import STRATEGIES
from secureml.testing import Clock


class Broken(MemoryStorage):
    """A storage that can be switched off, and says how often it was asked."""

    STORAGE_SCHEME = None
    off = False
    asked = 0

    def incr(self, *words, **more):
        self.asked += 1
        if self.off:
            raise StorageError(OSError("gone"))
        return super().incr(*words, **more)

    def check(self):
        if self.off:
            raise StorageError(OSError("gone"))
        return True


class Declared:
    """As much of the real one as counting asks for."""

    def __init__(self, rule):
        from limits import parse

        self.items = {rule: parse(rule.allowance.notation)}
        self.broken = Broken()

    def storage(self, *, lasting):
        return self.broken

    def window(self, strategy, *, lasting):
        import time

        return STRATEGIES[strategy](self.broken, time.time)

    def in_use(self):
        return [False]


def setup(handling, allow="10 per hour", share=4):
    rule = Rule("r", "client", "", "", "", "requests", read(allow), "fixed-window", handling, "t")
    declared, clock = Declared(rule), Clock()
    counting = Counting(declared, share, clock, monotonic=clock)
    return declared.broken, counting, counting.bind(claim_of(rule, Asker(client="acme"))), clock


def test_refuse_lets_nobody_through():
    broken, counting, bound, _ = setup("refuse")
    assert counting.reserve(bound, 1).allowed
    broken.off = True
    with pytest.raises(StoreFails) as failed:
        counting.reserve(bound, 1)
    assert failed.value.rule is bound.claim.rule


def test_allow_lets_everybody_through_and_says_that_nothing_counted():
    broken, counting, bound, _ = setup("allow")
    broken.off = True
    assert [counting.reserve(bound, 1) for _ in range(50)] == [None] * 50


def test_degrade_goes_on_with_a_share_so_that_all_processes_together_keep_the_limit():
    broken, counting, bound, _ = setup("degrade", "10 per hour", share=4)
    broken.off = True
    assert sum(counting.reserve(bound, 1).allowed for _ in range(50)) == 10 // 4


def test_a_share_is_never_nothing():
    broken, counting, bound, _ = setup("degrade", "2 per hour", share=100)
    broken.off = True
    assert sum(counting.reserve(bound, 1).allowed for _ in range(5)) == 1


def test_a_store_that_fails_again_and_again_is_left_alone_for_a_moment():
    """A request must not wait for the same silence again and again."""
    broken, counting, bound, clock = setup("allow")
    broken.off = True
    for _ in range(20):
        counting.reserve(bound, 1)
    assert broken.asked == 3
    clock.advance(1.0)
    counting.reserve(bound, 1)
    assert broken.asked == 4
    broken.off = False
    clock.advance(1.0)
    assert counting.reserve(bound, 1).allowed
    assert counting.reserve(bound, 1).allowed


def test_whether_it_fails_can_be_asked():
    broken, counting, _, _ = setup("refuse")
    assert not counting.failing()
    broken.off = True
    assert counting.failing()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_attack_strangers_do_not_fill_the_memory_of_a_process_that_counts_alone(
    strategy, monkeypatch, caplog
):
    """Their addresses are keys, and the library forgets those of a moving window never."""
    monkeypatch.setattr(counting_module, "MOST", 200)
    rule = Rule("r", "address", "", "", "", "requests", read("8 per hour"), strategy, "degrade",
                "t")  # fmt: skip
    declared, clock = Declared(rule), Clock()
    counting = Counting(declared, 4, clock, monotonic=clock)
    declared.broken.off = True
    for name in ("incr", "acquire_entry", "acquire_sliding_window_entry"):
        monkeypatch.setattr(declared.broken, name, off, raising=False)
    for number in range(2000):
        assert counting.reserve(counting.bind(claim_of(rule, Asker(f"10.0.0.{number}"))), 1).allowed
        _, storage, _ = counting._memory
        kept = len(storage.events) + len(storage.expirations) + len(storage.locks)
        assert kept < 210
    assert "all begin anew" in caplog.text
    bound = counting.bind(claim_of(rule, Asker("192.0.2.1")))
    assert sum(counting.reserve(bound, 1).allowed for _ in range(9)) == 2


def off(*words, **more):
    raise StorageError(OSError("gone"))
