"""From a score to an answer: step by step, and never at the threshold itself.

Whoever is refused the moment a threshold is passed learns where it lies, and how to stay below
it (arXiv 2405.20641). So the first step is a flag that nobody but the operator sees, each
further one needs as much evidence again, and comes a random number of rows later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .memory import Memory
from .names import TESTS
from .sequence import score

WATCHED, FLAG, COARSEN, THROTTLE, HOLD = "watched", "flag", "coarsen", "throttle", "hold"
STEPS = (COARSEN, THROTTLE, HOLD)
_SPREAD = math.log(len(TESTS))


@dataclass(frozen=True)
class Terms:
    """What is done, and when; ``chance(low, high)`` returns a whole number, both ends included."""

    answers: tuple[str, ...]
    threshold: float
    delay: int
    pause: float
    budget: int
    window: float
    chance: Callable[[int, int], int]

    @cached_property
    def ladder(self) -> tuple[str, ...]:
        """What each level is called, the lowest first."""
        return (WATCHED, FLAG, *self.answers)

    @cached_property
    def cap(self) -> float:
        """The most a sum may hold: enough for the last step, and no grudge beyond it."""
        return self.threshold * len(self.ladder) + _SPREAD


def settle(memory: Memory, terms: Terms, now: float, brought: int = 1) -> tuple[str, ...]:
    """Move a slot's level by its sums; return the names of the levels it came to, if any.

    ``brought`` is how many new rows this request had. Whoever brings ``delay`` of them at once
    has waited long enough: an answer to all of them must not leave before the next step.
    """
    one, top = memory.one, len(terms.ladder) - 1
    before = one["level"][0]
    level = min(max(before, 0), top)
    # The score lies between the highest sum and that less a logarithm: often this is enough.
    peak = max(memory.each_sum)
    rises = level < top and peak >= terms.threshold * (level + 1)
    falls = level > 0 and peak - _SPREAD < terms.threshold / 4
    if before == level and not rises and not falls:
        return ()
    reached, new, moved = score(memory.each_sum), one["new"][0], []
    one["level"][0] = level
    while level < top and reached >= terms.threshold * (level + 1):
        if level and brought < terms.delay and new < one["due"][0]:
            break
        level += 1
        moved.append(_move(memory, level, terms, now))
    if moved or level == 0:
        return tuple(moved)
    cleared = reached < terms.threshold / 4 and new >= one["due"][0]
    return (_move(memory, 0, terms, now),) if cleared and terms.ladder[level] != HOLD else ()


def _move(memory: Memory, level: int, terms: Terms, now: float) -> str:
    one = memory.one
    one["level"][0], one["since"][0] = level, now
    one["due"][0] = one["new"][0] + terms.chance(terms.delay // 2, terms.delay + terms.delay // 2)
    return terms.ladder[level]


def forgive(slot: Any, now: float) -> None:
    """Begin again with a party: no evidence, no level; what it sent stays known."""
    for field in ("sums", "counts", "lately", "judged", "spent"):
        slot[field] = 0
    slot["level"], slot["due"], slot["until"], slot["since"] = 0, 0, 0.0, now


def spend(memory: Memory, new: int, terms: Terms, now: float) -> None:
    """Count new rows against the budget of this window."""
    window, spent = memory.one["window"], memory.one["spent"]
    if now - window[0] >= terms.window:
        window[0], spent[0] = now, 0
    spent[0] += new


def over(slot: Any, terms: Terms, now: float) -> float:
    """Return the seconds until the budget is a new one, 0 where it is not spent."""
    left = float(slot["window"]) + terms.window - now
    return max(left, 0.0) if 0 < terms.budget <= int(slot["spent"]) else 0.0
