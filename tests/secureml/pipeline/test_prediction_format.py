"""A route of a plugin that predicts in a format of its own passes what the core's own passes."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Blueprint, Flask, g
from marshmallow import Schema, fields
from sklearn.linear_model import LogisticRegression

from plugins.errors.plugin import Errors
from plugins.input_rules.plugin import InputRules
from secureml import ConfigError, Exchange, Plugin, Principal, Problem, Result, requires
from secureml.kit.prediction import BodyLimits, predict
from secureml.pipeline import policy
from secureml.testing import Harness
from tests.made_models import seal_estimator

TABLE = "a,b,target\n0.5,1,0\n1.5,2,1\n2.5,3,1\n0.1,4,0\n"
ROWS = [[0.5, 1], [1.5, 2], [2.5, 3], [0.1, 4]]


class Head(Schema):
    """How many bytes of a line are a number."""

    decimals = fields.Integer(strict=True)


class Lines:
    """Rows of numbers in lines behind a JSON line that ends the first one; answers as text."""

    media_types = ("text/csv",)

    def json_length(self, exchange: Exchange, body: bytes) -> int:
        """Return where the first line ends."""
        if exchange.model is None:
            raise RuntimeError("the model is known first")
        return body.find(b"\n") + 1 or len(body)

    def instances(
        self, exchange: Exchange, envelope: dict[str, Any], rest: bytes, limits: BodyLimits
    ) -> list[Any]:
        """Read each line of what follows."""
        exchange.state["lines"] = envelope
        if len(rest) > limits.text:
            raise Problem("json_too_large", reason="lines.text")
        return [[float(cell) for cell in line.split(b",")] for line in rest.splitlines()]

    def answer(self, exchange: Exchange) -> Any:
        """Return the predictions, and what the request said."""
        assert exchange.result is not None
        return {"lines": exchange.result.predictions, **exchange.state["lines"]}


class Caller(Plugin):
    """Names every caller."""

    name = "caller"

    def identify(self, exchange):
        """Return one client that may predict."""
        everything = frozenset({"*"})
        return Principal("c", "c", frozenset({"predict"}), everything, "", "caller", "")


class Coarse(Plugin):
    """Answers nothing but zeros."""

    name = "coarse"

    def shape(self, exchange: Exchange, result: Result) -> Result:
        """Return zeros in the place of predictions."""
        return replace(result, predictions=[0 for _ in result.predictions])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("lines")
    model = LogisticRegression().fit(ROWS, [0, 1, 1, 0])
    seal_estimator(made, model, "iris", table=TABLE, target="target")
    return made


@pytest.fixture
def ask(folder):
    """Return what asks the route of lines, and the core's own where the body is a list."""
    harness = Harness(folder)
    harness.models.load_all()
    views = Blueprint("lines", __name__)

    @views.post("/lines/<model>")
    @requires("predict", body=Head, format=Lines())
    def lines(model: str) -> Any:
        return predict(g.exchange)

    def send(body, *plugins, media="text/csv"):
        app = harness.app([harness.load(Caller), *map(harness.load, plugins)], [views])
        caller = app.test_client()
        if isinstance(body, list):
            return caller.post("/v1/models/iris/predict", json={"instances": body})
        return caller.post("/lines/iris", data=body, content_type=media)

    yield send
    harness.store.close()


def test_the_answer_is_that_of_the_models_own_route(ask):
    own = ask(ROWS).json["predictions"]
    answer = ask(b'{"decimals": 3}\n0.5,1\n1.5,2\n2.5,3\n0.1,4\n')
    assert answer.json == {"lines": own, "decimals": 3}


def test_it_passes_validate_and_shape_as_every_prediction_does(ask):
    beyond = ask([[900.0, 1]], InputRules, Errors)
    answer = ask(b"{}\n900.0,1\n", InputRules, Errors)
    assert beyond.json["errors"] == [{"path": "/instances/0/0", "rule": "above_maximum"}]
    assert {**answer.json, "id": ""} == {**beyond.json, "id": ""}
    assert ask(b"{}\n2.5,3\n", Coarse).json == {"lines": [0]}
    assert ask(b"{}\n2.5,3\n").json == {"lines": [1]}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"decimals": 3, "decimals": 4}\n1,2\n', "duplicate_key"),
        (b'{"decimals": NaN}\n1,2\n', "not_a_number"),
        (b"[" * 30 + b"]" * 30 + b"\n1,2\n", "json_too_deep"),
        (b"[]\n1,2\n", "invalid_input"),
        (b'{"unknown": 3}\n1,2\n', "invalid_input"),
        (b'{"decimals": "3"}\n1,2\n', "invalid_input"),
        (b"{}\n" + b"1,2\n" * 1025, "json_too_large"),
        (b"{}\n", "invalid_input"),
        (b"{}\n1\n", "invalid_input"),
        (b"{}\n1,nan\n", "invalid_input"),
        (b"{}" + b" " * 1024 * 1024 + b"\n", "body_too_large"),
    ],
)
def test_the_core_reads_the_json_and_the_rows_as_strictly_as_its_own(ask, body, code):
    assert ask(body).json["code"] == code


def test_a_body_of_another_media_type_is_not_read(ask):
    for media in ("application/json", "", "text/csv; charset=latin-1"):
        assert ask(b"{}\n0.5,1\n", media=media).json["code"] == "unsupported_media_type"
    assert ask(b"{}\n0.5,1\n", media="text/csv; charset=utf-8").status_code == 200


def test_a_format_without_an_envelope_is_no_route():
    with pytest.raises(ValueError, match="body="):
        requires("predict", format=Lines())


@pytest.mark.parametrize("name", ["json_length", "instances", "answer"])
def test_a_format_that_would_never_run_stops_the_start(name):
    async def late(*words: Any) -> None:
        return None

    def ask() -> str:
        return ""

    ways = {word: getattr(Lines(), word) for word in ("json_length", "instances", "answer")}
    own: Any = SimpleNamespace(media_types=("text/csv",), **{**ways, name: late})
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/a", "a", requires("x", body=Head, format=own)(ask), methods=["POST"])
    with pytest.raises(ConfigError, match=f"the {name} of the format of /a"):
        policy.collect(app)


def test_what_is_not_ready_is_what_readyz_says(folder):
    harness = Harness(folder)

    class Away(Plugin):
        """Cannot work."""

        name = "away"

        def ready(self):
            """Say why."""
            return "away_reason"

    host = harness.host("other")
    assert list(host.unready()) == []
    app = harness.app([harness.load(Caller), harness.load(Away)])
    assert list(host.unready()) == ["away_reason"]
    assert json.loads(app.test_client().get("/readyz").data)["reasons"] == ["away_reason"]
    harness.store.close()
