"""Attackers who want a copy of the model, and what copy they have after so many answers.

Each is a generator: it yields rows and is sent (labels, probabilities or None). What they hold
is their class: A nothing but the ranges, B a few real rows, C as many as they like.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from subjects import Subject, fit_to

SEEDS_HELD = 20


def uniform(target: Subject, chance, held):
    """A: uniform within the ranges, one row at a time."""
    while True:
        yield fit_to(target, chance.uniform(target.low, target.high)[None])


def uniform_batches(target: Subject, chance, held, many: int = 50):
    """A: the same, in requests of 50 rows."""
    while True:
        yield fit_to(target, chance.uniform(target.low, target.high, (many, len(target.low))))


def gaussian(target: Subject, chance, held):
    """A: each column as the real one by itself, no column knowing of another."""
    centre = target.train.mean(axis=0)
    while True:
        yield fit_to(target, chance.normal(centre, target.spread)[None])


def marginals(target: Subject, chance, held):
    """A, well informed: each column drawn from its real values, columns shuffled apart."""
    columns = np.arange(target.train.shape[1])
    while True:
        yield target.train[chance.integers(len(target.train), size=len(columns)), columns][None]


def grid(target: Subject, chance, held):
    """A: from the middle, one column after another through five values, then pairs."""
    middle = (target.low + target.high) / 2
    values = np.linspace(0.05, 0.95, 5)
    while True:
        for column in range(len(middle)):
            for value in values:
                row = middle.copy()
                row[column] = target.low[column] + value * (target.high - target.low)[column]
                other = chance.integers(len(middle))
                row[other] = (
                    target.low[other] + chance.choice(values) * (target.high - target.low)[other]
                )
                yield fit_to(target, row[None])


def equations(target: Subject, chance, held):
    """A: as many independent rows as a linear model has unknowns, near the middle."""
    middle = (target.low + target.high) / 2
    while True:
        yield fit_to(target, (middle + chance.normal(0, 0.5, len(middle)) * target.spread)[None])


def active(target: Subject, chance, held):
    """B: perturbs the rows it holds and asks where its own copy is least sure."""
    rows, labels = held.copy(), []
    answered, _ = yield rows
    labels = list(answered)
    while True:
        pool = held[chance.integers(len(held), size=200)]
        mates = held[chance.integers(len(held), size=200)]
        part = chance.uniform(size=(200, 1))
        pool = pool + part * (mates - pool) + chance.normal(0, 0.1, pool.shape) * target.spread
        pool = fit_to(target, pool)
        if len(set(labels)) > 1:
            shares = np.sort(_fit(rows, labels, None).predict_proba(pool), axis=1)
            chosen = pool[np.argsort(shares[:, -1] - shares[:, -2])[:1]]
        else:
            chosen = pool[:1]
        answered, _ = yield chosen
        rows, labels = np.vstack([rows, chosen]), [*labels, *answered]


def jacobian(target: Subject, chance, held):
    """B: Jacobian-based augmentation (Papernot et al.): a step along its copy's gradient."""
    rows = held.copy()
    labels, _ = yield rows
    labels = list(labels)
    while True:
        if len(set(labels)) < 2:
            step = chance.choice([-1.0, 1.0], rows.shape)
        else:
            copy = _linear(rows, labels)
            weights = copy[-1].coef_
            own = np.searchsorted(copy[-1].classes_, labels)
            step = np.sign(weights[own] if len(weights) > 1 else weights[[0] * len(rows)])
        chosen = chance.permutation(len(rows))[:50]
        new = fit_to(target, (rows + 0.3 * step * target.spread)[chosen])
        for row in new:
            answered, _ = yield row[None]
            rows, labels = np.vstack([rows, row]), [*labels, *answered]


def around(target: Subject, chance, held):
    """B: noise around the few rows it holds."""
    while True:
        row = held[chance.integers(len(held))]
        yield fit_to(target, (row + chance.normal(0, 0.3, len(row)) * target.spread)[None])


def mixing(target: Subject, chance, held):
    """B, careful: points between two of its rows, no noise added."""
    while True:
        one, other = held[chance.integers(len(held), size=2)]
        yield fit_to(target, (one + chance.uniform() * (other - one))[None])


def knockoff(target: Subject, chance, held):
    """C: has real rows in plenty and sends each once; nothing in it differs from a customer."""
    rows = target.fresh[chance.permutation(len(target.fresh))]
    half = rows[: len(rows) // 2]
    for row in half:
        yield row[None]


ATTACKS = {
    "uniform": ("A", uniform),
    "uniform, 50 a request": ("A", uniform_batches),
    "gaussian": ("A", gaussian),
    "shuffled columns": ("A", marginals),
    "grid": ("A", grid),
    "equation solving": ("A", equations),
    "active learning": ("B", active),
    "jacobian steps": ("B", jacobian),
    "noise around rows": ("B", around),
    "between rows": ("B", mixing),
    "knockoff, real rows": ("C", knockoff),
}


def agreement(target: Subject, rows, labels, shares) -> float:
    """Return how often the best copy made of these answers agrees on rows nobody has seen."""
    held_out = target.fresh[len(target.fresh) // 2 :]
    truth = np.array(target.handle.predict(held_out).predictions)
    if len(set(labels)) < 2:
        return float((truth == labels[0]).mean()) if len(labels) else 0.0
    copies = [_fit(rows, labels, shares), RandomForestClassifier(50, random_state=0)]
    copies[1].fit(rows, labels)
    return max(float((copy.predict(held_out) == truth).mean()) for copy in copies)


class _Solved:
    """A linear model read off full probabilities: their log ratios are linear in the row."""

    def __init__(self, rows, shares, classes) -> None:
        self._mean, self._scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-12)
        logs = np.log(np.clip(shares, 1e-12, 1.0))
        table = np.hstack([(rows - self._mean) / self._scale, np.ones((len(rows), 1))])
        self._weights = np.linalg.lstsq(table, logs - logs[:, :1], rcond=1e-10)[0]
        self._classes = np.array(classes)

    def predict_proba(self, rows):
        table = np.hstack([(rows - self._mean) / self._scale, np.ones((len(rows), 1))])
        logs = table @ self._weights
        raised = np.exp(logs - logs.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    def predict(self, rows):
        return self._classes[self.predict_proba(rows).argmax(axis=1)]


def _fit(rows, labels, shares):
    if shares is not None:
        return _Solved(rows, np.array(shares), np.arange(len(shares[0])))
    return _linear(rows, labels)


def _linear(rows, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=10)).fit(
            rows, labels
        )
