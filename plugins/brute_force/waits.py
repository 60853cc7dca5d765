"""How long whoever guessed wrong waits: not at all at first, then twice as long each time.

Counted for an address, and for one identity from one address. There is no count of an identity
over all addresses that could shut anyone out: it would let a stranger lock the owner out.
"""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """``free`` failures cost nothing; times are in seconds."""

    free: int
    first: float
    longest: float
    forget: float


class Count(NamedTuple):
    """Failures so far, when the last one was, and until when the next attempt is refused."""

    failures: int
    last: float
    until: float


NONE = Count(0, 0.0, 0.0)


def failed(before: Count, rules: Rules, now: float) -> Count:
    """Return the count after one more failure; what is long past is forgotten."""
    forgotten = now - max(before.last, before.until) > rules.forget
    failures = 1 if forgotten else before.failures + 1
    over = failures - rules.free
    if over <= 0:
        return Count(failures, now, 0.0)
    # Beyond sixty doublings nothing but the longest wait is left.
    return Count(failures, now, now + min(rules.first * 2.0 ** min(over - 1, 60), rules.longest))
