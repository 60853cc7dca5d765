"""Explain: how much each feature of a row contributed to its answer, at a route of its own.

Runs in VALIDATE (is there an explanation, and of so many rows?). The rows pass every phase as
those of a prediction do; what is explained is the answer that SHAPE has left of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Exchange, Host, Kind, Plugin, Problem, Result
from secureml.kit import fields
from secureml.kit.prediction import ModelFailed, prediction
from secureml.kit.validation import Fault

from .explainer import Explainer, NotExplained, TooSlow
from .views import PATH, blueprint

if TYPE_CHECKING:
    from flask import Blueprint

    from secureml import ModelHandle

log = logging.getLogger("secureml.explain")


class Config(Schema):
    """The ``[plugins.explain]`` table."""

    models = plain.List(
        fields.ModelName(),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "Models that are explained; each sealed with `--data`.",
            "example": ["churn"],
        },
    )
    cost = fields.StrictInteger(
        load_default=20,
        validate=validate.Range(1, 1000),
        metadata={
            "description": (
                "What an explanation counts in rate limits: so many requests, and each of its "
                "rows so many rows."
            )
        },
    )
    max_rows = fields.StrictInteger(
        load_default=10,
        validate=validate.Range(1, 1000),
        metadata={"description": "Most rows of one request."},
    )
    evaluations = fields.StrictInteger(
        load_default=2000,
        validate=validate.Range(100, 20_000),
        metadata={
            "description": (
                "Most rows that the model is asked about for one explained row; more are more "
                "exact, and slower."
            )
        },
    )
    time_limit = fields.Duration(
        load_default=5.0,
        validate=validate.Range(1, 60),
        metadata={"description": "Longest time for the explanations of one request."},
    )


class Explain(Plugin):
    """Explains answers of the models that are listed."""

    name = "explain"
    schema = Config
    problems = (
        Kind("explain.not_offered", 404, "This model has no explanations"),
        Kind("explain.withheld", 403, "An explanation would show more than this client may see"),
        Kind("explain.too_slow", 503, "The explanation took too long; send fewer rows"),
        Kind("explain.unanswerable", 422, "The model cannot answer rows that are like this one"),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._names: frozenset[str] = frozenset(config["models"])
        self._cost, self._max_rows = config["cost"], config["max_rows"]
        self._evaluations, self._seconds = config["evaluations"], config["time_limit"]
        self._models, self._now = host.models, host.now
        # Weak: a model that was swapped out must not live on here.
        self._explainers: WeakKeyDictionary[ModelHandle, Explainer] = WeakKeyDictionary()

    def start_worker(self, threads: int) -> None:
        """Say which of the listed models have no explanations, and why."""
        for name in sorted(self._names):
            model = self._models.get(name)
            if model is None:
                continue
            try:
                self._explainer(model)
            except NotExplained as error:
                log.warning(
                    "model %s has no explanations: %s; fix: take it out of [plugins.explain] "
                    "models, or seal it so that it has",
                    *(name, error),
                )

    def blueprint(self) -> Blueprint:
        """Return the one route."""
        return blueprint(self._cost, self._present)

    def validate(self, exchange: Exchange) -> None:
        """Raise Problem for a model without explanations, and for too many rows."""
        if exchange.route != PATH or exchange.model is None or exchange.payload is None:
            return
        self._demand(exchange.model)
        instances = exchange.payload.get("instances")
        if isinstance(instances, list) and len(instances) > self._max_rows:
            raise Problem(
                "too_many_rows",
                reason=f"explain.rows:{len(instances)}",
                errors=[Fault("/instances", "max_rows")],
            )

    def _present(self, exchange: Exchange) -> dict[str, Any]:
        """Return the body of a prediction with its explanations; raises Problem."""
        result, model = exchange.result, exchange.model
        if result is None or model is None:
            raise RuntimeError("an explanation without a result or a model")
        columns = _columns(result)
        explainer = self._demand(model)
        try:
            found = explainer.explain(exchange.read_rows(), columns, self._seconds)
        except TooSlow:
            raise Problem("explain.too_slow", reason="explain.time_limit") from None
        except ModelFailed as failed:
            # It has answered the row itself: it is the mixtures that it cannot take.
            raise Problem("explain.unanswerable", reason=f"explain.{failed}") from failed
        body = prediction(exchange)
        body["explanations"] = [
            {
                **({"class": result.predictions[place]} if result.classes else {}),
                "base": each.base,
                "value": each.value,
                "attributions": each.parts.tolist(),
            }
            for place, each in enumerate(one.rounded(result.decimals) for one in found)
        ]
        return body

    def _demand(self, model: ModelHandle) -> Explainer:
        if model.name not in self._names:
            raise Problem("explain.not_offered", reason="explain.not_listed")
        try:
            return self._explainer(model)
        except NotExplained as error:
            raise Problem("explain.not_offered", reason="explain.model") from error

    def _explainer(self, model: ModelHandle) -> Explainer:
        found = self._explainers.get(model)
        if found is None:
            found = Explainer(model, self._evaluations, self._now)
            self._explainers[model] = found
        return found


def _columns(result: Result) -> list[int]:
    """Return the place of each row's class; raises Problem where a probability is withheld.

    The parts of an explanation add up to it, so it would be given back.
    """
    if result.classes is None:
        return [0] * len(result.predictions)
    places = {label: place for place, label in enumerate(result.classes)}
    columns = [places[label] for label in result.predictions]
    shares = result.probabilities
    if shares is None or any(
        row[column] is None for row, column in zip(shares, columns, strict=True)
    ):
        raise Problem("explain.withheld", reason="explain.withheld")
    return columns
