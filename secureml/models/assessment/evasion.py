"""Evasion: how far a row must be moved until the model answers otherwise.

HopSkipJump (Chen, Jordan, Wainwright 2020) over labels alone, for all targets at once: bisect to
the boundary, estimate its normal, step along it; at the end each column that need not differ is
set back. Distances are Euclidean, in deviations of each column of numbers; words stay as they
are, and are tried one by one in `substitute`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.oracle import Oracle

Array = np.ndarray[Any, Any]
_BISECTIONS = 10
_STEPS = 8  # a step along the normal is halved at most so often
# Which rows of another answer are tried as a start, by their distance: the nearest, and some that
# are farther away, because words stay as they are.
_CANDIDATES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Effort:
    """How much is asked for each row: rounds, and directions in the first of them."""

    rounds: int
    directions: int


@dataclass(frozen=True)
class Evasion:
    """Distances to rows with another answer, in deviations; one for each row that was moved.

    ``starts`` are those to the real row that an attack began with, ``rows`` the number of rows that
    were tried, ``columns`` the number of columns that may be moved.
    """

    distances: tuple[float, ...]
    starts: tuple[float, ...]
    rows: int
    columns: int
    questions: int

    @property
    def median(self) -> float | None:
        """The median over all rows, those that were not moved counted as infinitely far."""
        missing = [float("inf")] * (self.rows - len(self.distances))
        found = float(np.median([*self.distances, *missing])) if self.rows else float("inf")
        return found if np.isfinite(found) else None


class _Search:
    """Targets and the nearest rows with another answer that are known, in deviations."""

    def __init__(self, oracle: Oracle, space: ColumnSpace, targets: Array, labels: Array) -> None:
        self._oracle, self._space = oracle, space
        self._targets, self._labels = targets, labels
        self._scale = space.spread[space.numbers]
        self.goal = targets[:, space.numbers] / self._scale

    def rows(self, place: Array, moved: Array) -> Array:
        """Return whole rows: numbers as they were moved, words those of the targets."""
        rows = self._targets[place].copy()
        rows[:, self._space.numbers] = moved * self._scale
        return self._space.within(rows)

    def flips(self, place: Array, moved: Array) -> Array:
        """Tell for each moved row whether its answer is another than its target's."""
        if not len(place):
            return np.zeros(0, dtype=bool)
        found = self._oracle.ask(self.rows(place, moved)).labels
        return np.asarray(found != self._labels[place])

    def bisect(self, place: Array, moved: Array) -> Array:
        """Return points near the boundary, on the lines from the targets to moved rows."""
        low, high = np.zeros(len(place)), np.ones(len(place))
        goal = self.goal[place]
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            other = self.flips(place, goal + middle[:, None] * (moved - goal))
            low, high = np.where(other, low, middle), np.where(other, middle, high)
        point: Array = goal + high[:, None] * (moved - goal)
        return point

    def settled(self, place: Array, moved: Array) -> Array:
        """Return what is really asked for moved rows: in range, whole numbers whole."""
        found: Array = self.rows(place, moved)[:, self._space.numbers] / self._scale
        return found


def evade(
    oracle: Oracle,
    space: ColumnSpace,
    targets: Array,
    pool: Array,
    effort: Effort,
    generator: np.random.Generator,
) -> Evasion:
    """Move each target until it is answered otherwise; ``pool`` are real rows to begin with.

    Raises ValueError where no column holds numbers.
    """
    if not space.numbers.any():
        raise ValueError("no column holds numbers")
    # Between nothing and something is no line.
    targets = targets[~np.isnan(targets[:, space.numbers]).any(axis=1)]
    pool = pool[~np.isnan(pool[:, space.numbers]).any(axis=1)]
    if not len(targets) or not len(pool):
        raise ValueError("every row has a missing number")
    begin = oracle.asked
    labels, others = oracle.ask(targets).labels, oracle.ask(pool).labels
    assert labels is not None  # noqa: S101 - asked of models with labels alone
    assert others is not None  # noqa: S101
    search = _Search(oracle, space, targets, labels)
    place, moved = _starts(
        search, pool[:, space.numbers] / space.spread[space.numbers], labels, others
    )
    starts = _lengths(moved - search.goal[place])
    if len(place):
        moved = _improved(search, place, moved, effort, generator)
    distances = _lengths(search.settled(place, moved) - search.goal[place])
    width = int(space.numbers.sum())
    return Evasion(
        tuple(distances.tolist()), tuple(starts.tolist()), len(targets), width, oracle.asked - begin
    )


def _starts(search: _Search, pool: Array, labels: Array, others: Array) -> tuple[Array, Array]:
    """Return which targets have a start, and it: the nearest real row of another answer."""
    distance = np.linalg.norm(search.goal[:, None, :] - pool[None, :, :], axis=2)
    distance[labels[:, None] == others[None, :]] = np.inf
    found = np.full(search.goal.shape, np.nan)
    left = np.arange(len(labels))
    order = np.argsort(distance, axis=1)
    for candidate in _CANDIDATES:
        if candidate >= len(pool) or not len(left):
            break
        chosen = order[left, candidate]
        left, chosen = _usable(left, chosen, distance)
        other = search.flips(left, pool[chosen])
        found[left[other]] = pool[chosen[other]]
        left = left[~other]
    place = np.flatnonzero(~np.isnan(found).any(axis=1))
    return place, found[place]


def _usable(left: Array, chosen: Array, distance: Array) -> tuple[Array, Array]:
    usable = np.isfinite(distance[left, chosen])
    return left[usable], chosen[usable]


def _improved(
    search: _Search, place: Array, moved: Array, effort: Effort, generator: np.random.Generator
) -> Array:
    goal = search.goal[place]
    best = search.bisect(place, moved)
    point = best
    for turn in range(1, effort.rounds + 1):
        length = _lengths(point - goal)
        normal = _normals(
            search, place, point, 0.1 * length / np.sqrt(turn), turn, effort, generator
        )
        stepped = _stepped(search, place, point, normal, length / np.sqrt(turn))
        point = search.bisect(place, stepped)
        nearer = _lengths(point - goal) < _lengths(best - goal)
        best = np.where(nearer[:, None], point, best)
    return search.bisect(place, _restored(search, place, best, generator))


def _normals(
    search: _Search,
    place: Array,
    point: Array,
    width: Array,
    turn: int,
    effort: Effort,
    generator: np.random.Generator,
) -> Array:
    """Return unit vectors that estimate the normal of the boundary at points near it."""
    count = int(effort.directions * np.sqrt(turn))
    noise = generator.normal(size=(len(place), count, point.shape[1]))
    noise /= np.linalg.norm(noise, axis=2, keepdims=True)
    tried = point[:, None, :] + width[:, None, None] * noise
    other = search.flips(np.repeat(place, count), tried.reshape(-1, point.shape[1]))
    signs = np.where(other.reshape(len(place), count), 1.0, -1.0)
    mean = signs.mean(axis=1, keepdims=True)
    # Where all are alike there is no mean to take off.
    signs = np.where(np.abs(mean) == 1.0, signs, signs - mean)
    normal = np.einsum("ij,ijk->ik", signs, noise)
    unit: Array = normal / np.maximum(_lengths(normal), 1e-12)[:, None]
    return unit


def _stepped(search: _Search, place: Array, point: Array, normal: Array, length: Array) -> Array:
    """Return points a step along the normal, the step halved until the answer is another."""
    found = point.copy()
    left = np.arange(len(place))
    for halving in range(_STEPS):
        tried = point[left] + (length[left] / 2**halving)[:, None] * normal[left]
        other = search.flips(place[left], tried)
        found[left[other]] = tried[other]
        left = left[~other]
        if not len(left):
            break
    return found


def _restored(search: _Search, place: Array, moved: Array, generator: np.random.Generator) -> Array:
    """Return moved rows with each column set back to its target's where the answer stays."""
    found = moved.copy()
    for column in generator.permutation(moved.shape[1]):
        tried = found.copy()
        tried[:, column] = search.goal[place, column]
        other = search.flips(place, tried)
        found[other] = tried[other]
    return found


def _lengths(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=1)
    return lengths


def substitute(oracle: Oracle, space: ColumnSpace, targets: Array) -> float | None:
    """Return the share of rows that one other word or truth value brings to another answer.

    None where no column holds any of them.
    """
    columns = [
        place
        for place, feature in enumerate(space.features)
        if feature.dtype == "boolean" or (feature.dtype == "category" and len(space.words[place]))
    ]
    if not columns or not len(targets):
        return None
    labels = oracle.ask(targets).labels
    moved = np.zeros(len(targets), dtype=bool)
    for place in columns:
        for value in range(len(space.words[place]) or 2):
            tried = targets.copy()
            tried[:, place] = value
            moved |= np.asarray(oracle.ask(tried).labels != labels)
    return float(moved.mean())
