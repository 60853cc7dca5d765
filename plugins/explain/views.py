"""The route of explanations, and what it reads and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, g
from marshmallow import Schema, fields

from secureml import Exchange, requires
from secureml.kit.prediction import PredictResponse, predict

PATH = "/v1/models/<model>/explain"
PREDICT = "/v1/models/<model>/predict"  # whose limits hold here as well
SCOPE = "explain"


class ExplainBody(Schema):
    """The envelope of a request; the rows inside are read by the model's card."""

    instances = fields.Raw(
        required=True, allow_none=False, metadata={"type": "array", "minItems": 1}
    )


class Explanation(Schema):
    """How much each feature of one row contributed to its answer."""

    explained_class = fields.Raw(
        data_key="class",
        metadata={"description": "Of a classifier: the class whose probability is explained."},
    )
    base = fields.Float(
        required=True,
        metadata={"description": "The mean answer to the rows that this one is compared with."},
    )
    value = fields.Float(
        required=True, metadata={"description": "The answer to the row: a probability or a number."}
    )
    attributions = fields.List(
        fields.Float(),
        required=True,
        metadata={
            "description": (
                "For each feature, in the order of the card, how much of `value` less `base` it "
                "accounts for."
            )
        },
    )


class ExplainResponse(PredictResponse):
    """The prediction of each instance, and how much each of its features contributed."""

    explanations = fields.List(fields.Nested(Explanation), required=True)


def blueprint(cost: int, present: Callable[[Exchange], dict[str, Any]]) -> Blueprint:
    """Return `POST /v1/models/<model>/explain`; ``present`` adds the explanations."""
    views = Blueprint("explain", __name__)

    @views.post(PATH, endpoint="explain")
    @requires(
        SCOPE,
        body=ExplainBody,
        cost=cost,
        answer=ExplainResponse,
        present=present,
        limited_as=PREDICT,
    )
    def explain(model: str) -> Any:  # a Result, which passes SHAPE and then `present`
        """Explain the predictions of rows."""
        return predict(g.exchange)

    return views
