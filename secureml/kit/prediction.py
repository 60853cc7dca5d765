"""What a route has the model asked by about the rows of a request, for a plugin that adds one.

Needed where a view is another way to `predict`: its body has `instances`, it returns what
`predict_rows` returns, and its policy presents the result after SHAPE
(``requires(scope, body=..., present=...)``); or where it says in SHAPE how far answers can be
relied on (`Reliability`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from secureml.api_schemas import PredictResponse
from secureml.models.serving.model_failed import ModelFailed
from secureml.models.serving.reliability import Reliability
from secureml.pipeline.exchange import Exchange
from secureml.pipeline.problems import invalid_input

if TYPE_CHECKING:
    from secureml.models.serving.handle import Result

__all__ = ["ModelFailed", "PredictResponse", "Reliability", "predict_rows", "prediction"]

log = logging.getLogger("secureml")


def predict_rows(exchange: Exchange) -> Result:
    """Return what the model answers to the rows of a request; raises Problem.

    A view returns it as it is: the application has it pass SHAPE before anything of it is seen.
    """
    rows = exchange.read_rows()
    if exchange.model is None:
        raise RuntimeError(f"no model was prepared for {exchange.model_name}")
    try:
        return exchange.model.predict(rows)
    except ModelFailed as failed:
        if failed.row is None:
            raise
        # The model answers others, so it is this question, which no rule foresaw.
        log.info("%s: no answer to row %d", exchange.id, failed.row, exc_info=failed)
        fault = (f"/instances/{failed.row}", "unanswerable")
        raise invalid_input([fault], f"model.{failed}") from failed


def prediction(exchange: Exchange) -> dict[str, Any]:
    """Return the body of an answer to a prediction."""
    result, model = exchange.result, exchange.model
    if result is None or model is None:
        raise RuntimeError("a prediction without a result or a model")
    body: dict[str, Any] = {"predictions": result.predictions}
    if result.probabilities is not None:
        body["probabilities"] = result.probabilities
    if result.reliability is not None:
        body |= result.reliability.members()
    if exchange.warnings:
        body["warnings"] = [notice._asdict() for notice in exchange.warnings]
        body["warning_count"] = exchange.warning_count
    body["model"] = {"name": model.name, "version": model.version}
    body["id"] = exchange.id
    return body
