"""Attackers who want a copy: which rows they ask next.

The classes are those of docs/theft.md: A knows the ranges alone, B has a few real rows, C has as
many real rows as it wants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.assessment.answer_form import Answers
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.copies import linear

Array = np.ndarray[Any, Any]
REAL_ROWS = 20  # that an attacker of class B has
_POOL = 10  # rows that are considered for each that is asked
_NOISE = 0.1  # deviations


@dataclass(frozen=True)
class Knowledge:
    """What an attacker has: the columns, some real rows, and what was asked and answered."""

    space: ColumnSpace
    real: Array
    rows: Array
    seen: Answers | None


Strategy = Callable[[Knowledge, int, np.random.Generator], Array]


def ranges(known: Knowledge, count: int, generator: np.random.Generator) -> Array:
    """A: uniform within the ranges, words at random."""
    return known.space.uniform(count, generator)


def between_rows(known: Knowledge, count: int, generator: np.random.Generator) -> Array:
    """B: the rows it has, then points between two of them, with a little noise."""
    own = known.real[len(known.rows) : len(known.rows) + count]
    return np.vstack([own, _mixed(known, count - len(own), generator)])


def uncertain(known: Knowledge, count: int, generator: np.random.Generator) -> Array:
    """B: as above, but asks where its own copy is least certain (active learning)."""
    own = known.real[len(known.rows) : len(known.rows) + count]
    needed = count - len(own)
    pool = _mixed(known, needed * _POOL, generator)
    seen = known.seen
    if seen is None or seen.labels is None or len(np.unique(seen.labels)) < 2:
        return np.vstack([own, pool[:needed]])
    copy = linear(known.space.encode(known.rows), seen.labels)
    shares = np.sort(copy.predict_proba(known.space.encode(pool)), axis=1)
    order = np.argsort(shares[:, -1] - shares[:, -2])
    # Half of them: those nearest to the boundary are also nearest to each other.
    half = needed // 2
    return np.vstack([own, pool[order[:half]], pool[order[half:]][: needed - half]])


def real_rows(known: Knowledge, count: int, generator: np.random.Generator) -> Array:
    """C: real rows, each once (Knockoff Nets); fewer than asked for where there are no more."""
    del generator
    return known.real[len(known.rows) : len(known.rows) + count]


def _mixed(known: Knowledge, count: int, generator: np.random.Generator) -> Array:
    space, real = known.space, known.real
    one, other = (real[generator.integers(len(real), size=count)] for _ in range(2))
    part = generator.uniform(size=(count, 1))
    mixed = np.where(generator.uniform(size=one.shape) < part, one, other)
    numbers = space.numbers
    between = one + part * (other - one) + generator.normal(0, _NOISE, one.shape) * space.spread
    # Of a missing value nothing is between.
    usable = numbers & ~np.isnan(between)
    return space.within(np.where(usable, between, mixed))


@dataclass(frozen=True)
class Attacker:
    """An attacker by name, its class, its strategy, and how many real rows it has; None: all."""

    name: str
    grade: str
    strategy: Strategy
    holds: int | None


RANGES = Attacker("ranges", "A", ranges, 0)
BETWEEN = Attacker("between rows", "B", between_rows, REAL_ROWS)
UNCERTAIN = Attacker("active learning", "B", uncertain, REAL_ROWS)
REAL = Attacker("real rows", "C", real_rows, None)
