"""Calibrating a model when it is sealed, with rows that it was not fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from secureml.kit.protocols import Training

from .calibration import FALSE_FLAG_RATES, Calibration
from .conformal import (
    COVERAGES,
    CalibrationError,
    class_thresholds,
    quantiles,
    residual_thresholds,
)
from .distance import Distance, learn_distance

LEAST_ROWS = 40  # below, 95 % of new rows cannot be promised
_MOST_ROWS = 5000  # of the table, from which the distance is learned


def learn_calibration(training: Training, labelled: Any) -> Calibration:
    """Return the calibration of a model with a table of true answers, a `Labelled`.

    Raises CalibrationError where that says nothing of new rows, or the model cannot be so.
    """
    card = training.card
    _check_kind(card)
    rows = len(labelled.rows)
    if rows < LEAST_ROWS:
        raise CalibrationError(
            f"the table of --calibrate has {rows} rows, and at least {LEAST_ROWS} are needed",
            "give more rows that the model was not fitted on",
        )
    known = _known_rows(training, labelled)
    if known == rows:
        raise CalibrationError(
            "every row of the table of --calibrate is in the table that the model was fitted on: "
            "a model is surer of these than of any others",
            "keep rows apart before fitting, for instance by train_test_split, and give those",
        )
    if card.classes:
        # As they are served: where they are of 32 bits, so is one less them.
        shares = np.asarray(labelled.probabilities, dtype=np.float64)
        found = class_thresholds(shares, card.classes, labelled.answers)
    else:
        predictions = np.asarray(labelled.predictions, dtype=np.float64)
        found = residual_thresholds(predictions, np.array(labelled.answers, dtype=np.float64))
    distance, distances = _distances(training, labelled)
    return Calibration(
        rows,
        _reached(COVERAGES, found),
        distance,
        _reached(FALSE_FLAG_RATES, distances),
        known,
        labelled.digest,
    )


def _known_rows(training: Training, labelled: Any) -> int:
    """Return how many rows are in the table that the model was fitted on, too."""
    seen = set(training.rows())
    return sum(row in seen for row in labelled.rows)


def _check_kind(card: Any) -> None:
    if card.outputs or card.kind not in ("classifier", "regressor"):
        raise CalibrationError(
            "only a classifier or a regressor with one answer a row can be calibrated",
            "seal without --calibrate",
        )
    if card.kind == "classifier" and not (card.has_probabilities and card.classes):
        raise CalibrationError(
            "a classifier without probabilities cannot be calibrated",
            "fit it inside sklearn.calibration.CalibratedClassifierCV, or seal without --calibrate",
        )


def _distances(training: Training, labelled: Any) -> tuple[Distance | None, list[float | None]]:
    """Return the distance, and for each rate the one that rows of the calibration exceed so often.

    Rows that have a part in the distance have none in its thresholds: they are nearer.
    """
    features = training.card.features
    columns = [place for place, feature in enumerate(features) if feature.is_number]
    if not columns:
        return None, [None] * len(FALSE_FLAG_RATES)
    table = training.rows()[:: max(1, len(training.rows()) // _MOST_ROWS)]
    given = training.read(table) if table else None
    if given is None:
        # Every other row: a table is often sorted, and its halves are then of two kinds.
        given, measured = training.read(labelled.rows[::2]), training.read(labelled.rows[1::2])
        answers = labelled.answers[::2] if training.card.classes else [0] * len(given)
    else:
        measured, answers = labelled.given, _answered(training, given)
    distance = learn_distance(given, columns, answers)
    levels = [1 - rate for rate in FALSE_FLAG_RATES]
    found = quantiles(distance(measured), levels)
    # None at all is reached: then the distance says nothing, and the card need not have it.
    return (distance if any(each is not None for each in found) else None), found


def _answered(training: Training, given: Any) -> Sequence[Any]:
    if not training.card.classes:
        return [0] * len(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: list[Any] = np.asarray(training.estimator.predict(given)).tolist()
    return found


def _reached(levels: Sequence[float], found: Sequence[float | None]) -> dict[float, float]:
    pairs = zip(levels, found, strict=True)
    return {level: float(value) for level, value in pairs if value is not None}
