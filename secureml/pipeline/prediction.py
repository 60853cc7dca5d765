"""The one way from the rows of a request to the model's answer, for every route that predicts."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from secureml.models.serving.result import ModelFailed
from secureml.pipeline.problems import invalid_input

if TYPE_CHECKING:
    from secureml.models.serving.result import Result
    from secureml.pipeline.exchange import Exchange

log = logging.getLogger("secureml")
_clock = time.perf_counter_ns


def predict(exchange: Exchange) -> Result:
    """Return the model's answer to the rows of a request that has passed VALIDATE.

    A view returns it as it is: SHAPE has not seen it yet. Raises Problem("invalid_input") for a
    row that the model cannot answer while it answers others, and ModelFailed.
    """
    rows = exchange.read_rows()
    if exchange.model is None:
        raise RuntimeError(f"no model was prepared for {exchange.model_name}")
    begin = _clock()
    try:
        result = exchange.model.predict(rows)
    except ModelFailed as failed:
        if failed.row is None:
            raise
        # The model answers others, so it is this question, which no rule foresaw.
        log.info("%s: no answer to row %d", exchange.id, failed.row, exc_info=failed)
        fault = (f"/instances/{failed.row}", "unanswerable")
        raise invalid_input([fault], f"model.{failed}") from failed
    exchange.model_ns = _clock() - begin
    return result


def prediction(exchange: Exchange) -> dict[str, Any]:
    """Return the body of an answer to a prediction, made of what SHAPE has left of its result."""
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
