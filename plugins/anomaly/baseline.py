"""What is usual here, learned from the site's own windows, and how far a window is from it.

Each number of a window becomes a surprise: how many usual spreads it lies from the middle.
An isolation forest (Liu, Ting, Zhou 2008, scikit-learn's) is then fitted on the profile of
these surprises: the three largest, and the distance that allows for what goes together
(Mahalanobis). On the numbers themselves it would overlook a window that is odd in one of
twelve, because eleven of twelve questions are about the others; and it would never ask about
a number that was always the same, such as a share of failures that was always nought.

A baseline is kept as the numbers it was learned from, in JSON, and fitted again where it is
used: nothing is unpickled. The same numbers give the same forest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .window import FEATURES, NAMES

LEAST = 200  # windows; of fewer nobody can say what is usual
MOST = 4096  # windows kept; a forest asks 256 at a time
_REASONS = 3
_FARTHEST = 20.0  # spreads; beyond it odd is odd
_RIDGE = 0.1

Matrix = np.ndarray[Any, np.dtype[np.float64]]


class TooFew(ValueError):
    """There are not enough windows to learn from."""


class Reason(NamedTuple):
    """One feature that made the score: its value, and where the middle 98 % of windows lie."""

    feature: str
    value: float
    low: float
    high: float


class ValidationReport(NamedTuple):
    """How unusual a window is, 0 to 1, and why where it is beyond the threshold."""

    score: float
    unusual: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Baseline:
    """Usual windows, when they were learned, and the share of them that may be called unusual."""

    rows: Matrix
    made: float
    false_alarms: float

    @cached_property
    def _forest(self) -> Any:
        from sklearn.ensemble import IsolationForest

        usual = self._profile(self.rows)
        # A few strange windows in between: else no tree asks beyond the farthest usual one,
        # and whoever is far beyond it looks like whoever is just there.
        dice = np.random.default_rng(0)
        strange = dice.random((len(usual) // 50, usual.shape[1])) * _FARTHEST
        rows = np.vstack([usual, strange])
        asked = min(256, len(rows))
        forest = IsolationForest(n_estimators=200, max_samples=asked, random_state=0, n_jobs=1)
        return forest.fit(rows)

    @cached_property
    def threshold(self) -> float:
        """The score that only the stated share of usual windows reaches."""
        return float(np.quantile(self._scores(self.rows), 1 - self.false_alarms))

    @cached_property
    def _usual(self) -> Matrix:
        found: Matrix = np.quantile(self.rows, [0.01, 0.5, 0.99], axis=0)
        return found

    def judge(self, vectors: Sequence[Sequence[float]]) -> list[ValidationReport]:
        """Judge windows, all in one pass of the forest; about 10 ms for a hundred."""
        rows: Matrix = np.asarray(vectors, dtype=float).reshape(-1, len(FEATURES))
        if not len(rows):
            return []
        scores = self._scores(rows)
        unusual = scores > self.threshold
        reasons = iter(self._reasons(rows[unusual], scores[unusual]))
        return [
            ValidationReport(float(score), bool(odd), next(reasons) if odd else ())
            for score, odd in zip(scores, unusual, strict=True)
        ]

    @cached_property
    def _spread(self) -> Matrix:
        low, _, high = self._usual
        least = [least for _, _, least in FEATURES]
        return np.asarray(np.maximum((high - low) / 4, least), dtype=np.float64)

    @cached_property
    def _together(self) -> Matrix:
        """The inverse covariance of surprises, drawn to independence a little."""
        surprises = self._surprises(self.rows)
        drawn = np.cov(surprises.T) + _RIDGE * np.eye(len(FEATURES))
        return np.asarray(np.linalg.inv(drawn), dtype=np.float64)

    def _surprises(self, rows: Matrix) -> Matrix:
        found: Matrix = np.clip((rows - self._usual[1]) / self._spread, -_FARTHEST, _FARTHEST)
        return found

    def _profile(self, rows: Matrix) -> Matrix:
        surprises = self._surprises(rows)
        largest = np.sort(np.abs(surprises), axis=1)[:, -3:]
        squared = np.einsum("ij,jk,ik->i", surprises, self._together, surprises)
        distance = np.sqrt(squared / len(FEATURES))
        return np.column_stack([largest, np.minimum(distance, _FARTHEST)])

    def _scores(self, rows: Matrix) -> Matrix:
        scores: Matrix = -self._forest.score_samples(self._profile(rows))
        return scores

    def _reasons(self, rows: Matrix, scores: Matrix) -> list[tuple[Reason, ...]]:
        """Return the features without which each score would be lowest, most telling first."""
        if not len(rows):
            return []
        low, middle, high = self._usual
        count = len(FEATURES)
        without = np.repeat(rows, count, axis=0)
        for feature in range(count):
            without[feature::count, feature] = middle[feature]
        gain = scores[:, None] - self._scores(without).reshape(len(rows), count)
        found = []
        for row, gains in zip(rows, gain, strict=True):
            order = [int(i) for i in np.argsort(-gains)[:_REASONS] if gains[i] > 0]
            found.append(
                tuple(Reason(NAMES[i], float(row[i]), float(low[i]), float(high[i])) for i in order)
            )
        return found

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(
            {
                "features": NAMES,
                "made": self.made,
                "false_alarms": self.false_alarms,
                "rows": self.rows.tolist(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Baseline:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        try:
            data = json.loads(text)
            rows = np.asarray(data["rows"], dtype=float)
            fits = tuple(data["features"]) == NAMES and rows.shape[1:] == (len(NAMES),)
            if not fits or len(rows) < LEAST or not np.isfinite(rows).all():
                raise ValueError("these are no windows of this version")
            return cls(rows, float(data["made"]), float(data["false_alarms"]))
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("this is no baseline") from error


def learn(vectors: Sequence[Sequence[float]], *, made: float, false_alarms: float) -> Baseline:
    """Return a baseline of usual windows, the newest of too many; raises TooFew."""
    if len(vectors) < LEAST:
        raise TooFew(f"{len(vectors)} windows are too few to learn from: {LEAST} are needed")
    # What is written is what is learned from, so that every worker has the same forest.
    rows = np.asarray(vectors[-MOST:], dtype=float).round(6)
    return Baseline(rows, made, false_alarms)
