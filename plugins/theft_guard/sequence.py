"""Sequential tests: how sure the rows of a party make us that it is not a customer.

Each test is a sum of log likelihood ratios that never falls below zero (CUSUM, Page 1954).
The customer's side of each ratio is a bound and not a guess: a share that no customer's rows
exceed by the card, with room. Under it e to the sum grows by at most one a row on average, so
a sum passes h once in e**h rows at the earliest (Lorden 1971; Shin, Ramdas, Rinaldo, "E-detectors",
arXiv 2203.03532, also for the mean of several tests, which is what ``score`` is).
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

from .memory import BINS, Memory
from .names import TESTS

Numbers = np.ndarray[Any, Any]
Sums = Numbers | memoryview
Bins = Numbers | list[list[int]]

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
    "slant": (0.64, 0.14, 0.09, 0.09, 0.04),
    "stride": (0.84, 0.07, 0.09),
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
    "slant": (0.12, 0.10, 0.13, 0.22, 0.43),
    "stride": (0.30, 0.25, 0.45),
}
_FORGET = 0.98  # a row: what came fifty rows ago weighs a third
_RENEW = 8  # rows between two looks at what this party itself is like
_PRIOR = 8.0  # rows of its own before a party's shares outweigh the attacker's above


def _table(shares: dict[str, tuple[float, ...]], filler: float) -> Numbers:
    rows = [[*shares[test], *[filler] * (BINS - len(shares[test]))] for test in TESTS]
    return np.array(rows)


_USUAL, _ATTACK = _table(USUAL, 1.0), _table(ATTACK, 0.0)
_BASE = np.array([len(USUAL[test]) < BINS for test in TESTS])[:, None]
_LINES = np.arange(len(TESTS))
_PRIOR_SHARES, _HALF = _ATTACK * _PRIOR, 0.5 * _ATTACK
_FLOOR = np.where(_USUAL < 1.0, _USUAL, 0.0)


def steps(lately: Numbers) -> Numbers:
    """Return what a row in each bin of each test adds, (..., tests, BINS + 1).

    The last bin is for tests that say nothing.

    The other side of the ratio is half the attacker as above and half this party as it was so
    far; whatever is guessed before a row is seen keeps the ratio fair.
    """
    total = np.add.reduce(lately, axis=-1)[..., None]
    own = (_PRIOR_SHARES + lately) / (_PRIOR + total)
    # Fewer suspicious rows than a customer may send are no evidence of anything.
    bold = np.maximum(own, _FLOOR)
    rest = 1.0 - np.add.reduce(bold[..., 1:], axis=-1)
    bold[..., 0] = np.maximum(rest, 1e-3)
    bold /= np.add.reduce(bold, axis=-1)[..., None]
    guess = _HALF + 0.5 * np.where(_BASE, bold, own)
    table = np.zeros((*lately.shape[:-1], BINS + 1))
    np.log(guess / _USUAL, out=table[..., :BINS], where=guess > 0)
    return table


def advance(memory: Memory, found: Bins, cap: float) -> None:
    """Add the bins of some rows, (rows, tests), to a slot's sums; none exceeds ``cap``.

    A batch ends where its rows, one after another, would have ended.
    """
    judged = memory.one["judged"][0]
    if len(found) == 1:
        _advance_one(memory, list(found[0]), judged, cap)
    else:
        _advance_many(memory, np.asarray(found, dtype=np.intp), judged, cap)
    memory.one["judged"][0] = judged + len(found)


def _advance_one(memory: Memory, found: list[int], judged: int, cap: float) -> None:
    if judged % _RENEW == 0:
        memory.steps[...] = steps(memory.lately[:, :BINS])
    memory.lately *= _FORGET
    step, sums, counts, lately = (
        memory.each_step, memory.each_sum, memory.each_count, memory.each_lately,
    )  # fmt: skip
    for test, place in enumerate(found):
        total = sums[test] + step[test, place]
        sums[test] = 0.0 if total < 0.0 else min(cap, total)
        # Written over at 2**32, and nothing depends on it but what `show` prints.
        counts[test, place] = (counts[test, place] + 1) & 0xFFFFFFFF
        lately[test, place] += 1.0


def _advance_many(memory: Memory, found: Numbers, judged: int, cap: float) -> None:
    rows, order = len(found), np.arange(len(found))
    marks = np.zeros((rows, len(TESTS), BINS + 1))
    marks[order[:, None], _LINES, found] = 1.0
    memory.counts += marks.sum(axis=0).astype(np.uint32)
    # What had been seen lately whenever the steps are looked at again, and at the end.
    turns = np.arange(-judged % _RENEW, rows, _RENEW)
    times = np.append(turns, rows)
    age = times[:, None] - 1 - order
    weights = np.where(age < 0, 0.0, _FORGET ** np.maximum(age, 0))
    then = (weights @ marks.reshape(rows, -1)).reshape(-1, *memory.lately.shape)
    then += (_FORGET**times)[:, None, None] * memory.lately
    tables = np.concatenate([memory.steps[None], steps(then[:-1, :, :BINS])])
    added = tables[turns.searchsorted(order, "right")[:, None], _LINES, found]
    sums = memory.each_sum.tolist()
    for row in added.tolist():
        sums = [
            0.0 if (total := was + more) < 0.0 else min(cap, total)
            for was, more in zip(sums, row, strict=False)
        ]
    memory.each_sum[:] = array("d", sums)
    memory.lately[...], memory.steps[...] = then[-1], tables[-1]


def score(sums: Sums) -> float:
    """Return one number for all tests: the logarithm of the mean of e to each sum."""
    values = sums.tolist()
    top = max(values)
    return float(top + math.log(sum(math.exp(value - top) for value in values) / len(values)))


def reasons(sums: Numbers, at_least: float) -> list[str]:
    """Name the tests that say most, the strongest first."""
    order = np.argsort(-sums)
    return [TESTS[place] for place in order if sums[place] >= at_least]
