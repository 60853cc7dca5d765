"""Exponential backoff: how long to wait after wrong guesses, not at all at first.

Counted for an address, and for one identity from one address. There is no count of an identity
over all addresses that could shut anyone out: it would let a stranger lock the owner out.
"""

from __future__ import annotations

from typing import NamedTuple


class BackoffPolicy(NamedTuple):
    """``free`` failures cost nothing; times are in seconds."""

    free: int
    first: float
    longest: float
    forget: float


class FailureCount(NamedTuple):
    """Failures so far, when the last one was, and until when the next attempt is refused."""

    failures: int
    last: float
    until: float


NO_FAILURES = FailureCount(0, 0.0, 0.0)


def next_count(before: FailureCount, policy: BackoffPolicy, now: float) -> FailureCount:
    """Return the count after one more failure; what is long past is forgotten."""
    forgotten = now - max(before.last, before.until) > policy.forget
    failures = 1 if forgotten else before.failures + 1
    over = failures - policy.free
    if over <= 0:
        return FailureCount(failures, now, 0.0)
    # Beyond sixty doublings nothing but the longest wait is left.
    wait = min(policy.first * 2.0 ** min(over - 1, 60), policy.longest)
    return FailureCount(failures, now, now + wait)
