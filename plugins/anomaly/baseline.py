"""The baseline: what is usual here, trained on the site's own windows, and scores against it.

Each feature of a window becomes a robust z-score: its distance from the median in units of the
spread between the 1 % and 99 % quantiles. An isolation forest (Liu, Ting, Zhou, "Isolation
Forest", ICDM 2008; scikit-learn's) is then fitted on four numbers: the three largest absolute
z-scores, and their Mahalanobis distance. On the features themselves it would overlook a window
that is unusual in one of twelve, because eleven of twelve splits are on the others; and it would
never split on a feature that was constant, such as a share of failures that was always zero.

A baseline is kept as the windows it was trained on, in JSON, and fitted again where it is
used: nothing is unpickled. The same numbers give the same forest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from secureml.kit import strict_json

from .window import FEATURES, NAMES

MIN_WINDOWS = 200  # of fewer nobody can say what is usual
MAX_WINDOWS = 4096  # the forest samples 256 of them for a tree
_REASONS = 3
_MAX_Z = 20.0  # beyond it all z-scores are alike
_RIDGE = 0.1  # added to the diagonal of the covariance: few windows tell little about it

Matrix = np.ndarray[Any, np.dtype[np.float64]]


class TooFewWindows(ValueError):
    """There are not enough windows to train on."""


class Reason(NamedTuple):
    """One feature that raised the score: its value, and where the middle 98 % of windows lie."""

    feature: str
    value: float
    low: float
    high: float


class WindowScore(NamedTuple):
    """How unusual a window is, 0 to 1, and the reasons where it is beyond the threshold."""

    score: float
    unusual: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Baseline:
    """Usual windows, (n, features), when they were trained on (epoch seconds), and the share of
    them that may be called unusual.
    """

    rows: Matrix
    trained_at: float
    false_alarms: float

    @cached_property
    def _forest(self) -> Any:
        from sklearn.ensemble import IsolationForest

        usual = self._profile(self.rows)
        # A few made-up outliers: else no tree splits beyond the most unusual window, and what is
        # far beyond it would score like what is just there.
        rng = np.random.default_rng(0)
        outliers = rng.random((len(usual) // 50, usual.shape[1])) * _MAX_Z
        rows = np.vstack([usual, outliers])
        samples = min(256, len(rows))
        forest = IsolationForest(n_estimators=200, max_samples=samples, random_state=0, n_jobs=1)
        return forest.fit(rows)

    @cached_property
    def threshold(self) -> float:
        """The score that only the stated share of usual windows reaches."""
        return float(np.quantile(self._scores(self.rows), 1 - self.false_alarms))

    @cached_property
    def _quantiles(self) -> Matrix:
        found: Matrix = np.quantile(self.rows, [0.01, 0.5, 0.99], axis=0)
        return found

    def score(self, vectors: Sequence[Sequence[float]]) -> list[WindowScore]:
        """Score windows, (n, features), in one pass of the forest; about 10 ms for a hundred."""
        rows: Matrix = np.asarray(vectors, dtype=float).reshape(-1, len(FEATURES))
        if not len(rows):
            return []
        scores = self._scores(rows)
        above = scores > self.threshold
        reasons = iter(self._reasons(rows[above], scores[above]))
        return [
            WindowScore(float(score), bool(unusual), next(reasons) if unusual else ())
            for score, unusual in zip(scores, above, strict=True)
        ]

    @cached_property
    def _scale(self) -> Matrix:
        low, _, high = self._quantiles
        least = [smallest for _, _, smallest in FEATURES]
        return np.asarray(np.maximum((high - low) / 4, least), dtype=np.float64)

    @cached_property
    def _precision(self) -> Matrix:
        """The inverse covariance of z-scores, (features, features), with a ridge."""
        z_scores = self._z_scores(self.rows)
        covariance = np.cov(z_scores.T) + _RIDGE * np.eye(len(FEATURES))
        return np.asarray(np.linalg.inv(covariance), dtype=np.float64)

    def _z_scores(self, rows: Matrix) -> Matrix:
        found: Matrix = np.clip((rows - self._quantiles[1]) / self._scale, -_MAX_Z, _MAX_Z)
        return found

    def _profile(self, rows: Matrix) -> Matrix:
        z_scores = self._z_scores(rows)
        largest = np.sort(np.abs(z_scores), axis=1)[:, -3:]
        squared = np.einsum("ij,jk,ik->i", z_scores, self._precision, z_scores)
        distance = np.sqrt(squared / len(FEATURES))
        return np.column_stack([largest, np.minimum(distance, _MAX_Z)])

    def _scores(self, rows: Matrix) -> Matrix:
        scores: Matrix = -self._forest.score_samples(self._profile(rows))
        return scores

    def _reasons(self, rows: Matrix, scores: Matrix) -> list[tuple[Reason, ...]]:
        """Return the features whose median instead of their value lowers a score most, in order.

        Where no feature alone does, because many are far out, those with the largest z-scores.
        """
        if not len(rows):
            return []
        low, middle, high = self._quantiles
        count = len(FEATURES)
        without = np.repeat(rows, count, axis=0)
        for feature in range(count):
            without[feature::count, feature] = middle[feature]
        gain = scores[:, None] - self._scores(without).reshape(len(rows), count)
        found = []
        for row, gains, z_scores in zip(rows, gain, self._z_scores(rows), strict=True):
            order = [int(i) for i in np.argsort(-gains)[:_REASONS] if gains[i] > 0]
            order = order or [int(i) for i in np.argsort(-np.abs(z_scores))[:_REASONS]]
            found.append(
                tuple(Reason(NAMES[i], float(row[i]), float(low[i]), float(high[i])) for i in order)
            )
        return found

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(
            {
                "features": NAMES,
                "trained_at": self.trained_at,
                "false_alarms": self.false_alarms,
                "rows": self.rows.tolist(),
            }
        )

    @classmethod
    def from_json(cls, text: bytes | str) -> Baseline:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        try:
            data = strict_json.loads_object(text)
            names, rows = tuple(data["features"]), np.asarray(data["rows"], dtype=float)
            trained_at, false_alarms = float(data["trained_at"]), float(data["false_alarms"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError("the file is not a baseline") from error
        if names != NAMES or rows.shape[1:] != (len(NAMES),) or not np.isfinite(rows).all():
            raise ValueError("the file holds no windows of this version")
        if len(rows) < MIN_WINDOWS:
            raise ValueError(f"the file holds fewer than {MIN_WINDOWS} windows")
        # Neither could be compared with a number later, and nothing would be scored.
        if not math.isfinite(trained_at) or not 0 <= false_alarms < 1:
            raise ValueError("the file of the baseline has no time, or a share beyond 0 to 1")
        return cls(rows, trained_at, false_alarms)


def train(
    vectors: Sequence[Sequence[float]], *, trained_at: float, false_alarms: float
) -> Baseline:
    """Return a baseline of windows, (n, features), the newest of too many; raises TooFewWindows."""
    if len(vectors) < MIN_WINDOWS:
        raise TooFewWindows(f"{len(vectors)} windows are too few: {MIN_WINDOWS} are needed")
    # Rounded as it is written, so that every worker fits the same forest.
    rows = np.asarray(vectors[-MAX_WINDOWS:], dtype=float).round(6)
    return Baseline(rows, trained_at, false_alarms)
