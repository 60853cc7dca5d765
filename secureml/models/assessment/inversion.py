"""Attribute inference: one column of a row guessed from the others and from the answer.

The attacker of Fredrikson et al. (2014): it knows a row but for one column, and the answer to the
row; it asks the model with every value of that column and keeps those that give the answer, of
which it takes the most probable one. Beside it the guess without any answer: only what is above
that is given away by the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from secureml.models.assessment.answer_form import AnswerForm, Answers
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.oracle import Oracle

Array = np.ndarray[Any, Any]
MOST_VALUES = 10
_TREES, _LEAF = 50, 3
_EQUAL = 1e-9  # two answers that differ by less are the same


@dataclass(frozen=True)
class Column:
    """How often the value of one column was guessed right, without and with the answer."""

    name: str
    values: int
    baseline: float
    by_form: tuple[tuple[str, float], ...]

    def advantage(self, form: str) -> float:
        """Return by how much the answer makes the guess better."""
        return dict(self.by_form)[form] - self.baseline


@dataclass(frozen=True)
class Inversion:
    """What attribute inference came to, by column; ``rows`` is the number of guesses for each."""

    rows: int
    columns: tuple[Column, ...]

    def worst(self, form: str) -> Column:
        """Return the column that this form of the answer gives away most of."""
        return max(self.columns, key=lambda column: column.advantage(form))


def guessable(space: ColumnSpace, rows: Array) -> list[int]:
    """Return the places of columns with 2 to `MOST_VALUES` different values, none missing."""
    found = []
    for place, feature in enumerate(space.features):
        if feature.dtype in ("float", "text") or np.isnan(rows[:, place]).any():
            continue
        if 2 <= len(np.unique(rows[:, place])) <= MOST_VALUES:
            found.append(place)
    return found


def invert(
    oracle: Oracle,
    space: ColumnSpace,
    rows: Array,
    columns: Sequence[int],
    forms: Sequence[AnswerForm],
    most: int,
    generator: np.random.Generator,
) -> Inversion:
    """Guess each of the columns for at most ``most`` rows, half of ``rows`` known whole."""
    rows = rows[generator.permutation(len(rows))]
    known, targets = rows[: len(rows) // 2], rows[len(rows) // 2 :][:most]
    answers = oracle.ask(targets)
    found = []
    for place in columns:
        values = np.unique(rows[:, place])
        prior = _prior(space, known, targets, place, values)
        tried = [oracle.ask(_with(targets, place, value)) for value in values]
        truth = targets[:, place]
        rights = [
            (form.name, _right(prior * _matches(form, answers, tried), prior, values, truth))
            for form in forms
        ]
        baseline = float((values[prior.argmax(axis=1)] == truth).mean())
        name = space.features[place].name
        found.append(Column(name, len(values), baseline, tuple(rights)))
    return Inversion(len(targets), tuple(found))


def _prior(space: ColumnSpace, known: Array, targets: Array, place: int, values: Array) -> Array:
    """Return how probable each value is by the other columns alone, of the shape (rows, values)."""
    forest = RandomForestClassifier(_TREES, min_samples_leaf=_LEAF, random_state=0, n_jobs=1)
    codes = np.searchsorted(values, known[:, place])
    forest.fit(space.encode(known, leave_out=place), codes)
    prior = np.full((len(targets), len(values)), 1e-6)  # one that was not seen is not impossible
    prior[:, forest.classes_] += forest.predict_proba(space.encode(targets, leave_out=place))
    return prior


def _with(rows: Array, place: int, value: float) -> Array:
    changed = rows.copy()
    changed[:, place] = value
    return changed


def _matches(form: AnswerForm, answers: Answers, tried: Sequence[Answers]) -> Array:
    seen = form.visible(answers)
    return np.column_stack([_same(seen, form.visible(each)) for each in tried])


def _same(one: Answers, other: Answers) -> Array:
    same: Array
    if one.shares is not None and other.shares is not None:
        same = np.abs(one.shares - other.shares).max(axis=1) < _EQUAL
    elif one.amounts is not None and other.amounts is not None:
        same = np.isclose(one.amounts, other.amounts, rtol=_EQUAL, atol=_EQUAL)
    else:
        same = np.asarray(one.labels == other.labels)
    return same


def _right(scores: Array, prior: Array, values: Array, truth: Array) -> float:
    # A row that no value explains tells nothing: the guess without the answer is left.
    scores = np.where(scores.any(axis=1, keepdims=True), scores, prior)
    return float((values[scores.argmax(axis=1)] == truth).mean())
