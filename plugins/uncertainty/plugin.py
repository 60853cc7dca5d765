"""Uncertainty: an answer says how far it can be relied on.

Runs in SHAPE, as the last: what it tells is computed of the answer as the caller sees it. The
numbers are those of a calibration on the model's signed card, so it takes microseconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Exchange, Host, Plugin, Result
from secureml.kit import fields
from secureml.kit.prediction import Reliability

from .calibration import (
    FALSE_FLAG_RATES,
    Calibration,
    calibration_of,
    intervals,
    prediction_sets,
)
from .card_section import CalibrationSection
from .conformal import COVERAGES

if TYPE_CHECKING:
    from secureml import ModelHandle

log = logging.getLogger("secureml.uncertainty")


class Config(Schema):
    """The ``[plugins.uncertainty]`` table."""

    models = plain.List(
        fields.ModelName(),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "Models whose answers tell it; each sealed with `--calibrate`.",
            "example": ["churn"],
        },
    )
    coverage = fields.StrictFloat(
        load_default=0.9,
        validate=validate.OneOf(COVERAGES),
        metadata={
            "description": (
                "Share of rows whose true answer is in the prediction set or interval: 0.8, 0.9, "
                "0.95 or 0.99."
            )
        },
    )
    false_flag_rate = fields.StrictFloat(
        load_default=0.01,
        validate=validate.OneOf(FALSE_FLAG_RATES),
        metadata={
            "description": (
                "Share of rows like those of the calibration that `in_distribution` calls "
                "unlike them: 0.05 or 0.01."
            )
        },
    )


class Uncertainty(Plugin):
    """Adds prediction sets or intervals, and whether a row is like those of the calibration."""

    name = "uncertainty"
    schema = Config
    card_section = CalibrationSection()
    # What is told must be no finer than what the others have left of the answer.
    last_at = ("shape",)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._names: frozenset[str] = frozenset(config["models"])
        self._coverage: float = config["coverage"]
        self._rate: float = config["false_flag_rate"]
        self._models = host.models
        # Weak: a model that was swapped out must not live on here.
        self._found: WeakKeyDictionary[ModelHandle, Calibration | None] = WeakKeyDictionary()

    def start_worker(self, threads: int) -> None:
        """Say which models cannot tell what the settings ask for."""
        for name in sorted(self._names):
            model = self._models.get(name)
            if model is not None:
                _warn(name, calibration_of(model.card), self._coverage, self._rate)

    def shape(self, exchange: Exchange, result: Result) -> Result:
        """Return the result with what is known of its uncertainty; nothing else is changed."""
        model = exchange.model
        if model is None or model.name not in self._names:
            return result
        found = self._calibration(model)
        if found is None:
            return result
        return replace(result, reliability=self._reliability(exchange, result, found))

    def _reliability(self, exchange: Exchange, result: Result, found: Calibration) -> Reliability:
        flags = self._flags(exchange, found)
        threshold = found.thresholds.get(self._coverage)
        if threshold is None:
            return Reliability(in_distribution=flags)
        if result.classes is None:
            around = intervals(result.predictions, threshold, result.decimals)
            return Reliability(self._coverage, intervals=around, in_distribution=flags)
        if result.probabilities is None:
            # Sets tell of probabilities, and these are withheld.
            return Reliability(in_distribution=flags)
        sets = prediction_sets(result.probabilities, result.classes, threshold, result.decimals)
        return Reliability(self._coverage, sets, in_distribution=flags)

    def _calibration(self, model: ModelHandle) -> Calibration | None:
        if model not in self._found:
            self._found[model] = calibration_of(model.card)
        return self._found[model]

    def _flags(self, exchange: Exchange, found: Calibration) -> list[bool] | None:
        most = found.distances.get(self._rate)
        if found.distance is None or most is None:
            return None
        flags: list[bool] = (found.distance(exchange.read_rows()) <= most).tolist()
        return flags


def _warn(name: str, found: Calibration | None, coverage: float, rate: float) -> None:
    if found is None:
        log.warning(
            "model %s was sealed without --calibrate: its answers tell no uncertainty; fix: seal "
            "it again with --calibrate, or take it out of [plugins.uncertainty] models",
            name,
        )
        return
    if coverage not in found.thresholds:
        log.warning(
            "model %s was calibrated with %d rows, too few for coverage = %s; fix: seal it again "
            "with more rows, or choose one of %s",
            *(name, found.rows, coverage, ", ".join(map(str, found.thresholds)) or "none"),
        )
    if found.distance is not None and rate not in found.distances:
        log.warning(
            "model %s was calibrated with %d rows, too few for false_flag_rate = %s; fix: seal it "
            "again with more rows",
            *(name, found.rows, rate),
        )
