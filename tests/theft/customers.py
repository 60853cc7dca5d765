"""Customers: what they send are rows the model never saw, asked as customers ask.

Each yields batches of rows; a thousand in all are taken of it.
"""

from __future__ import annotations

import numpy as np
from subjects import Subject, fit_to


def plain(target: Subject, chance):
    """Held-out rows, one a request, drawn with replacement."""
    while True:
        yield target.fresh[chance.integers(len(target.fresh), size=1)]


def batches(target: Subject, chance):
    """Batches of 1 to 100."""
    while True:
        yield target.fresh[chance.integers(len(target.fresh), size=chance.integers(1, 101))]


def repeating(target: Subject, chance):
    """The same row again and again, as a health check does, with others in between."""
    row = target.fresh[chance.integers(len(target.fresh), size=1)]
    while True:
        yield row if chance.uniform() < 0.8 else next(plain(target, chance))


def one_sided(target: Subject, chance):
    """Four of five rows are of one answer."""
    answers = np.array(target.handle.predict(target.fresh).predictions)
    mine = np.flatnonzero(answers == chance.choice(answers))
    while True:
        if chance.uniform() < 0.8:
            yield target.fresh[chance.choice(mine, size=1)]
        else:
            yield next(plain(target, chance))


def few(target: Subject, chance):
    """Only 50 different rows, and a little noise of measurement on each: 2 % of a deviation."""
    mine = target.fresh[chance.permutation(len(target.fresh))[:50]]
    while True:
        row = mine[chance.integers(len(mine), size=1)]
        yield fit_to(target, row + chance.normal(0, 0.02, row.shape) * target.spread)


def drifting(target: Subject, chance):
    """Three columns move in five steps to half a deviation; each time has customers of its own."""
    columns = chance.choice(target.fresh.shape[1], 3, replace=False)
    times = np.array_split(target.fresh[chance.permutation(len(target.fresh))], 5)
    for moved, rows in enumerate(times):
        now = rows.copy()
        now[:, columns] += 0.125 * moved * target.spread[columns]
        now = fit_to(target, now)
        for _ in range(200):
            yield now[chance.integers(len(now), size=1)]


def what_if(target: Subject, chance):
    """Asks a row, then four variations: one column moved, half a deviation or more."""
    while True:
        row = next(plain(target, chance))
        yield row
        for _ in range(4):
            tried = row.copy()
            column = chance.integers(row.shape[1])
            tried[:, column] += (
                chance.choice([-1, 1]) * chance.uniform(0.5, 1.5) * target.spread[column]
            )
            yield fit_to(target, tried)


CUSTOMERS = {
    "held-out rows": plain,
    "batches": batches,
    "same row again": repeating,
    "mostly one answer": one_sided,
    "drifting": drifting,
}
# Their requests are made of near copies: what happens to them is shown, not counted.
LOOK_ALIKE = {"what-if": what_if, "50 rows, noisy": few}
