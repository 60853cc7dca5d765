"""Copies of a model: what an attacker fits to the answers that were collected.

A linear copy and a forest, and of probabilities also the linear model that solves for them: a
logistic regression with d columns is determined by d + 1 full answers (Tramer et al. 2016). How
good a copy is, is that of the best of them: the attacker chooses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from secureml.models.assessment.answer_form import Answers

Array = np.ndarray[Any, Any]
Copy = Callable[[Array], Array]  # encoded rows to labels, or to amounts
_SMALLEST = 1e-12


def of_amounts(encoded: Array, amounts: Array, trees: int) -> Iterator[Copy]:
    """Yield each copy that is fitted to the amounts of encoded rows."""
    yield Ridge(1e-6).fit(encoded, amounts).predict
    yield _regressor(trees).fit(encoded, amounts).predict


def of_labels(encoded: Array, labels: Array, trees: int) -> Iterator[Copy]:
    """Yield each copy that is fitted to the labels of encoded rows."""
    if len(np.unique(labels)) < 2:
        yield _constant(int(labels[0]))
        return
    yield linear(encoded, labels).predict
    yield RandomForestClassifier(trees, random_state=0, n_jobs=1).fit(encoded, labels).predict


def of_shares(encoded: Array, shares: Array, decimals: int | None, trees: int) -> Iterator[Copy]:
    """Yield each copy that is fitted to probabilities, which are rounded to ``decimals``."""
    floor = _SMALLEST if decimals is None else 0.5 * 10.0**-decimals
    yield _solved(encoded, shares, floor)
    forest = _regressor(trees).fit(encoded, shares)
    yield lambda rows: np.argmax(forest.predict(rows).reshape(len(rows), -1), axis=1)


def linear(encoded: Array, labels: Array) -> LogisticRegression:
    """Return a logistic regression of labels, at least two of them different."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that has not converged is a copy, too
        return LogisticRegression(C=10, max_iter=300).fit(encoded, labels)


def quality(copy: Copy, encoded: Array, truth: Answers) -> float:
    """Return the agreement of a copy with the model; of amounts R squared, at least -1."""
    if truth.amounts is None:
        return float((copy(encoded) == truth.labels).mean())
    variance = float(np.var(truth.amounts))
    if variance == 0:
        return 1.0
    return max(-1.0, 1.0 - float(np.mean((copy(encoded) - truth.amounts) ** 2)) / variance)


def _regressor(trees: int) -> RandomForestRegressor:
    return RandomForestRegressor(trees, max_features=1 / 3, random_state=0, n_jobs=1)


def _constant(label: int) -> Copy:
    return lambda rows: np.full(len(rows), label)


def _solved(encoded: Array, shares: Array, floor: float) -> Copy:
    """Return the linear model of the log ratios of probabilities, by least squares."""
    logs = np.log(np.clip(shares, floor, 1.0))
    weights = np.linalg.lstsq(_with_one(encoded), logs - logs[:, :1], rcond=1e-10)[0]
    return lambda rows: np.argmax(_with_one(rows) @ weights, axis=1)


def _with_one(encoded: Array) -> Array:
    return np.hstack([encoded, np.ones((len(encoded), 1))])
