"""Escalation: what follows from a score, level by level, and never at the threshold itself.

Whoever is refused the moment a threshold is passed learns where it lies, and how to stay below
it (arXiv 2405.20641). So the first level is a flag that nobody but the operator sees, each
further one needs as much evidence again, and comes a random number of rows later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .client_state import ClientState
from .cusum import score
from .detectors import DETECTORS

WATCHED, FLAG, COARSEN, THROTTLE, HOLD = "watched", "flag", "coarsen", "throttle", "hold"
ACTIONS = (COARSEN, THROTTLE, HOLD)
_SPREAD = math.log(len(DETECTORS))


@dataclass(frozen=True)
class Policy:
    """What is done to one kind of subject, and when.

    ``threshold`` is a score in nats, ``delay`` counts rows, ``pause`` is seconds a new row of a
    throttled subject, ``budget`` new rows a ``window`` of seconds, 0 for none;
    ``randint(low, high)`` returns a whole number, both ends included.
    """

    actions: tuple[str, ...]
    threshold: float
    delay: int
    pause: float
    budget: int
    window: float
    randint: Callable[[int, int], int]

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The names of the levels, the lowest first."""
        return (WATCHED, FLAG, *self.actions)

    @cached_property
    def cap(self) -> float:
        """The most a sum may hold: enough for the last level, and soon below it again."""
        return self.threshold * len(self.levels) + _SPREAD


def update_level(
    state: ClientState, policy: Policy, now: float, batch_rows: int = 1
) -> tuple[str, ...]:
    """Move a record's level by its sums; return the names of the levels it came to, if any.

    ``batch_rows`` is how many new rows this request had. A request with ``delay`` of them has
    waited long enough: an answer to all of them must not leave before the next level.
    """
    values, top = state.values, len(policy.levels) - 1
    before = values["level"][0]
    level = min(max(before, 0), top)
    # The score lies between the highest sum and that less a logarithm: often this is enough.
    peak = max(state.sum_view)
    rises = level < top and peak >= policy.threshold * (level + 1)
    falls = level > 0 and peak - _SPREAD < policy.threshold / 4
    if before == level and not rises and not falls:
        return ()
    reached, new_rows, names = score(state.sum_view), values["new_rows"][0], []
    values["level"][0] = level
    while level < top and reached >= policy.threshold * (level + 1):
        if level and batch_rows < policy.delay and new_rows < values["rise_after"][0]:
            break
        level += 1
        names.append(_set_level(state, level, policy, now))
    if names or level == 0:
        return tuple(names)
    cleared = reached < policy.threshold / 4 and new_rows >= values["rise_after"][0]
    return (_set_level(state, 0, policy, now),) if cleared and policy.levels[level] != HOLD else ()


def _set_level(state: ClientState, level: int, policy: Policy, now: float) -> str:
    values, half = state.values, policy.delay // 2
    values["level"][0], values["level_since"][0] = level, now
    values["rise_after"][0] = values["new_rows"][0] + policy.randint(half, policy.delay + half)
    return policy.levels[level]


def reset(record: Any, now: float) -> None:
    """Forget a subject's evidence and its level; the rows it sent stay known."""
    for field in ("sums", "counts", "decayed", "judged", "spent", "level", "rise_after"):
        record[field] = 0
    record["throttled_until"], record["level_since"] = 0.0, now


def spend_budget(state: ClientState, new_rows: int, policy: Policy, now: float) -> None:
    """Count new rows against the budget of this window."""
    start, spent = state.values["window_start"], state.values["spent"]
    # Also where the clock was set back: a window in the future would not end for long.
    if not 0 <= now - start[0] < policy.window:
        start[0], spent[0] = now, 0
    spent[0] += new_rows


def throttle_wait(record: Any, now: float) -> float:
    """Return the seconds for which a throttled subject is not answered, 0 for none."""
    # Before its last row there was no pause: the clock was set back, and nobody waits for that.
    set_back = now < float(record["last_seen"])
    return 0.0 if set_back else max(0.0, float(record["throttled_until"]) - now)


def budget_wait(record: Any, policy: Policy, now: float) -> float:
    """Return the seconds until the budget is a new one, 0 where it is not spent."""
    left = float(record["window_start"]) + policy.window - now
    spent = 0 < policy.budget <= int(record["spent"])
    return left if spent and 0 < left <= policy.window else 0.0
