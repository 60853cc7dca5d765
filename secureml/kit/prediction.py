"""A second way to ask a model, for a plugin whose protocol has a format of its own.

Needed by a plugin with a route that predicts: its view returns ``predict(exchange)``, and its
policy has a `PredictionFormat`, which finds the instances in a body within `BodyLimits` and makes
the answer.
"""

from __future__ import annotations

from secureml.pipeline.prediction import predict
from secureml.pipeline.prediction_format import BodyLimits, PredictionFormat

__all__ = ["BodyLimits", "PredictionFormat", "predict"]
