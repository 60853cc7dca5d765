"""Thresholds of conformal prediction: learned when a model is sealed, by the library crepes.

Split conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World";
Lei et al., JASA 2018): of rows that the model was not fitted on, each has a score that says how
badly the model's answer fits the true one. What scores no worse than a quantile of these is in
the set. It holds the true answer of a share ``coverage`` of new rows at least, whatever the model
is, as long as they are like the rows of the calibration.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Those that a card has thresholds for: a caller is told which one is served.
COVERAGES = (0.8, 0.9, 0.95, 0.99)
INSTALL = "script/extras uncertainty"

Numbers = np.ndarray[Any, Any]


class CalibrationError(Exception):
    """A model cannot be calibrated so; the message says why, ``fix`` what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def class_thresholds(
    probabilities: Numbers, classes: Sequence[Any], answers: Sequence[Any]
) -> list[float | None]:
    """Return, for each of COVERAGES, the largest score of a class that is in a set.

    The score is one less the probability (crepes' ``hinge``). ``probabilities`` is
    (rows, classes), ``answers`` the true classes. None where the rows are too few: every class
    would be in the set.
    """
    crepes = _crepes()
    places = {label: place for place, label in enumerate(classes)}
    indices = np.array([places[answer] for answer in answers])
    scores = crepes.hinge(probabilities, np.arange(len(classes)), indices)
    conformal = crepes.ConformalClassifier().fit(scores)

    def is_in(score: float, coverage: float) -> bool:
        found = conformal.predict_set(np.array([[score]]), confidence=coverage, smoothing=False)
        return bool(found[0, 0])

    candidates = np.unique(scores).tolist()
    return [_largest(candidates, lambda score: is_in(score, each)) for each in COVERAGES]  # noqa: B023 - called at once


def _largest(candidates: Sequence[float], is_in: Callable[[float], bool]) -> float | None:
    """Return the largest of rising scores that is in; None where one beyond them all is, too."""
    if is_in(float("inf")):
        return None
    first, last = 0, len(candidates)
    while last - first > 1:
        middle = (first + last) // 2
        if is_in(candidates[middle]):
            first = middle
        else:
            last = middle
    return candidates[first]


def residual_thresholds(predictions: Numbers, answers: Numbers) -> list[float | None]:
    """Return, for each of COVERAGES, half the width of an interval around a prediction.

    The score is the absolute residual. Both arrays are (rows,), in the units of the answer. None
    where the rows are too few.
    """
    return quantiles(np.asarray(answers) - np.asarray(predictions), COVERAGES)


def quantiles(scores: Numbers, levels: Sequence[float]) -> list[float | None]:
    """Return for each level the conformal quantile of absolute scores, (rows,).

    A new score of the same kind is no larger with at least that probability.
    """
    conformal = _crepes().ConformalRegressor().fit(np.asarray(scores, dtype=np.float64))
    found = []
    for level in levels:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of too few rows, which None says
            interval = conformal.predict_int(np.zeros(1), confidence=level)
        half = float(interval[0, 1])
        found.append(half if np.isfinite(half) else None)
    return found


class _Library:
    """What is used of crepes."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # It sets a filter for the whole process when it is imported.
            from crepes import ConformalClassifier, ConformalRegressor  # noqa: PLC0415
            from crepes.extras import hinge  # noqa: PLC0415
        self.ConformalClassifier, self.ConformalRegressor = ConformalClassifier, ConformalRegressor
        self.hinge = hinge


def _crepes() -> Any:
    try:
        return _Library()
    except ImportError as error:
        raise CalibrationError(
            f"calibrating needs the library crepes, the [uncertainty] extra ({error})", INSTALL
        ) from error
