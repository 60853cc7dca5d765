"""A route of a plugin asks the model as `predict` does, and presents what SHAPE has left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Blueprint, g
from marshmallow import Schema
from marshmallow import fields as plain
from sklearn.linear_model import LogisticRegression

from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from secureml import Exchange, Plugin, Problem, Result, requires
from secureml.kit.prediction import predict, prediction
from secureml.testing import Harness
from tests.made_models import seal_estimator


class Body(Schema):
    instances = plain.Raw(required=True)


class Labels(Plugin):
    """Leaves labels alone."""

    name = "labels"

    def shape(self, exchange: Exchange, result: Result) -> Result:
        return replace(result, probabilities=None)


def view_of(present):
    views = Blueprint("other", __name__)

    @views.post("/v1/models/<model>/other", endpoint="other")
    @requires("predict", body=Body, present=present)
    def other(model):
        """Ask otherwise."""
        return predict(g.exchange)

    return views


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    rows = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.5]]
    seal_estimator(folder, LogisticRegression().fit(rows, ["a", "a", "b", "b"]), "m")
    harness = Harness(folder)
    harness.models.load_all()
    return harness


def ask(harness, present, body, *plugins, route="other"):
    loaded = [harness.load(each) for each in (Anonymous, Scopes, *plugins, Errors)]
    app = harness.app(loaded, [view_of(present)])
    return app.test_client().post(f"/v1/models/m/{route}", json=body)


GOOD = {"instances": [[0.5, 0.5], [2.5, 0.5]]}


def test_without_a_presentation_the_answer_is_that_of_a_prediction(harness):
    other, predict = (ask(harness, None, GOOD, route=route).json for route in ("other", "predict"))
    assert {**other, "id": ""} == {**predict, "id": ""}


def test_a_presentation_is_made_of_what_shape_has_left(harness):
    """A view that could present what it returned would pass SHAPE by."""

    def present(exchange):
        return {"labels": exchange.result.predictions, "shares": exchange.result.probabilities}

    assert ask(harness, present, GOOD).json["shares"] is not None
    assert ask(harness, present, GOOD, Labels).json == {"labels": ["a", "b"], "shares": None}
    assert "probabilities" not in ask(harness, prediction, GOOD, Labels).json


def test_a_presentation_may_refuse(harness):
    def present(exchange):
        raise Problem("not_found", reason="other.nothing")

    said = ask(harness, present, GOOD)
    assert (said.status_code, said.json["code"]) == (404, "not_found")


def test_faults_of_rows_are_those_of_a_prediction(harness):
    for body in ({"instances": [[1]]}, {"instances": [["x", 1]]}, {"instances": []}):
        other, predict = (ask(harness, None, body, route=route) for route in ("other", "predict"))
        assert other.status_code == predict.status_code == 422
        assert other.json["errors"] == predict.json["errors"]
