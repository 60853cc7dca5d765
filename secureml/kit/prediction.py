"""A second way to ask a model, for a plugin that adds a route, or that knows more of its answers.

Needed where a view returns ``predict(exchange)``: its policy presents the result after SHAPE
(``requires(scope, body=..., present=...)``), or has a `PredictionFormat`, which finds the instances
in a body within `BodyLimits` and makes the answer. Needed as well where a plugin says in SHAPE how
far answers can be relied on (`Reliability`).
"""

from __future__ import annotations

from secureml.api_schemas import PredictResponse
from secureml.models.serving.reliability import Reliability
from secureml.models.serving.result import ModelFailed
from secureml.pipeline.prediction import predict, prediction
from secureml.pipeline.prediction_format import BodyLimits, PredictionFormat

__all__ = [
    "BodyLimits",
    "ModelFailed",
    "PredictResponse",
    "PredictionFormat",
    "Reliability",
    "predict",
    "prediction",
]
