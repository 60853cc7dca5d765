"""Sequential tests: how sure the rows of a party make us that it is not a customer.

Each test is a sum of log likelihood ratios that never falls below zero (CUSUM, Page 1954).
The customer's side of each ratio is a bound and not a guess: a share that no customer's rows
exceed by the card, with room. Under it e to the sum grows by at most one a row on average, so
a sum passes h once in e**h rows at the earliest (Lorden 1971; Shin, Ramdas, Rinaldo, "E-detectors",
arXiv 2203.03532, also for the mean of several tests, which is what ``score`` is).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .evidence import TESTS
from .memory import BINS

Numbers = np.ndarray[Any, Any]

# For each test: the largest share of a customer's rows in each bin, then an attacker's.
# The customer's shares of the suspicious bins are the card's nominal ones, times a slack that
# the measurements in docs/theft.md chose; the first bin takes the rest.
USUAL: dict[str, tuple[float, ...]] = {
    "manifold": (0.80, 0.15, 0.04, 0.01),
    "edges": (0.82, 0.15, 0.03),
    "middle": (0.60, 0.25, 0.15),
    "boundary": (0.62, 0.27, 0.11),
    "near": (0.80, 0.15, 0.05),
    "chain": (0.98, 0.02),
    "prints": (0.94, 0.06),
    # A decile of the card holds at most so many of a customer's rows, whichever decile it is.
    "spacing": (0.28,) * BINS,
}
ATTACK: dict[str, tuple[float, ...]] = {
    "manifold": (0.15, 0.15, 0.30, 0.40),
    "edges": (0.25, 0.35, 0.40),
    "middle": (0.20, 0.40, 0.40),
    "boundary": (0.20, 0.35, 0.45),
    "near": (0.20, 0.30, 0.50),
    "chain": (0.70, 0.30),
    "prints": (0.40, 0.60),
    "spacing": (0.1,) * BINS,
}
_FORGET = 0.98  # a row: what came fifty rows ago weighs a third
_RENEW = 8  # rows between two looks at what this party itself is like
_PRIOR = 8.0  # rows of its own before a party's shares outweigh the attacker's above


def _table(shares: dict[str, tuple[float, ...]], filler: float) -> Numbers:
    rows = [[*shares[test], *[filler] * (BINS - len(shares[test]))] for test in TESTS]
    return np.array(rows)


_USUAL, _ATTACK = _table(USUAL, 1.0), _table(ATTACK, 0.0)
_BASE = np.array([len(USUAL[test]) < BINS for test in TESTS])
_LINES = np.arange(len(TESTS))


def steps(lately: Numbers) -> Numbers:
    """Return what a row in each bin of each test adds, (tests, BINS + 1); the last is for none.

    The other side of the ratio is half the attacker as above and half this party as it was so
    far; whatever is guessed before a row is seen keeps the ratio fair.
    """
    own = (_ATTACK * _PRIOR + lately) / (_PRIOR + lately.sum(axis=1, keepdims=True))
    # Fewer suspicious rows than a customer may send are no evidence of anything.
    bold = np.maximum(own, np.where(_USUAL < 1.0, _USUAL, 0.0))
    bold[:, 0] = np.maximum(1.0 - bold[:, 1:].sum(axis=1), 1e-3)
    bold /= bold.sum(axis=1, keepdims=True)
    own[_BASE] = bold[_BASE]
    table = np.zeros((len(TESTS), BINS + 1))
    guess = 0.5 * _ATTACK + 0.5 * own
    np.log(guess / _USUAL, out=table[:, :BINS], where=guess > 0)
    return table


def advance(slot: Any, found: Numbers, cap: float) -> None:
    """Add the bins of some rows, (rows, tests), to a slot's sums; none exceeds ``cap``."""
    rows = len(found)
    turn = int(slot["judged"]) % _RENEW
    if turn == 0 or turn + rows > _RENEW:
        slot["steps"] = steps(slot["lately"][:, :BINS])
    slot["judged"] += rows
    found = found.astype(np.intp)
    added = slot["steps"][_LINES, found]
    sums, counts = slot["sums"], slot["counts"]
    if rows == 1:
        total = sums + added[0]
        counts[_LINES, found[0]] += np.uint32(1)
    else:
        total = sums + np.cumsum(added, axis=0)
        # Page's recursion over the whole batch: what a sum lost below zero is given back.
        total = (total - np.minimum(np.minimum.accumulate(total, axis=0), 0.0))[-1]
        places = (_LINES * (BINS + 1) + found % (BINS + 1)).ravel()
        here = np.bincount(places, minlength=counts.size).reshape(counts.shape)
        counts += here.astype(np.uint32)
    np.minimum(np.maximum(total, 0.0), cap, out=sums)
    lately = slot["lately"]
    lately *= _FORGET**rows
    if rows == 1:
        lately[_LINES, found[0]] += np.float32(1)
    else:
        lately += here


def score(sums: Numbers) -> float:
    """Return one number for all tests: the logarithm of the mean of e to each sum."""
    values = sums.tolist()
    top = max(values)
    return float(top + math.log(sum(math.exp(value - top) for value in values) / len(values)))


def reasons(sums: Numbers, at_least: float) -> list[str]:
    """Name the tests that say most, the strongest first."""
    order = np.argsort(-sums)
    return [TESTS[place] for place in order if sums[place] >= at_least]
