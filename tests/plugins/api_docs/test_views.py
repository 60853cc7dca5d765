"""A caller is told what it may do, and of no more."""

from __future__ import annotations

import json

from flask import Blueprint

from secureml import Kind, Plugin, public, requires


def admin():
    """Return a route for operators alone."""
    views = Blueprint("admin", __name__)
    views.get("/admin")(requires("admin")(lambda: {"admin": 1}))
    return views


class Hours(Plugin):
    """Adds a code of its own."""

    name = "hours"
    problems = (Kind("hours.closed", 409, "Closed"),)


def test_routes_beyond_the_callers_scopes_are_not_described(describe):
    """Nor their names."""
    assert "/admin" not in describe(blueprints=[admin()])[2]["paths"]
    assert "/admin" in describe("models:read,admin *", blueprints=[admin()])[2]["paths"]


def test_models_the_caller_may_not_use_are_not_described(describe):
    """Not even by name."""
    body = describe("models:read,predict loan")[2]
    assert "/v1/models/loan/predict" in body["paths"]
    assert "secret" not in json.dumps(body)


def test_nothing_inside_a_card_is_told(describe):
    """Digest, golden rows and versions stay behind."""
    text = json.dumps(describe()[2])
    assert not any(word in text for word in ("0" * 64, "golden", "2026-01-01", "digest"))


def test_a_plugins_own_refusal_stands_with_every_route(describe):
    """It may come from any phase."""
    paths = describe(plugins=[Hours])[2]["paths"]
    assert all("409" in way["responses"] for path in paths.values() for way in path.values())


def test_the_same_app_describes_itself_the_same(describe):
    """Word for word, so that a client can see whether something changed."""
    assert describe()[2] == describe()[2]


def forms():
    """Return a page that is shown and sent back, as protocols have them."""
    views = Blueprint("protocol", __name__)
    emitted = public(form=True, wording=lambda problem, kind, exchange: ("{}", "text/plain"))

    @views.route("/form", methods=["GET", "POST"], endpoint="form")
    @emitted
    def form():
        return {"a": 1}

    views.post("/again", endpoint="form")(form)
    return views


def test_a_form_says_so_and_promises_no_wording_of_ours(describe):
    """A protocol may word its own refusals."""
    way = describe(blueprints=[forms()])[2]["paths"]["/form"]["post"]
    assert set(way["requestBody"]["content"]) == {"application/x-www-form-urlencoded"}
    assert way["responses"]["400"] == {"description": "Refused"}


def test_one_view_at_several_addresses_and_methods_has_as_many_names(describe):
    """Generators would otherwise drop all but one."""
    paths = describe(blueprints=[forms()])[2]["paths"]
    names = [way["operationId"] for path in paths.values() for way in path.values()]
    assert len(names) == len(set(names))
    assert sum(name.startswith("protocol_form") for name in names) == 3


def test_a_right_narrowed_to_a_model_shows_that_model_alone(describe):
    """Whoever may ask one model is not told that it may ask any."""
    paths = describe("models:read,predict@loan *")[2]["paths"]
    asked = {path for path in paths if path.endswith("/predict")}
    assert asked == {"/v1/models/loan/predict", "/v1/models/loan/versions/{version}/predict"}
    assert "/v1/models/loan/predict" in describe("models:read,predict@loan@1 *")[2]["paths"]
    assert "/v1/models/loan/predict" not in describe("models:read,predict@loan@2 *")[2]["paths"]


class ByConnection(Plugin):
    """Names callers by their certificate."""

    name, identifies_by_connection = "identifies_by_connection", True

    def identify(self, exchange):
        """Name nobody."""


def test_a_client_certificate_is_described_as_one_more_way_in(describe):
    """As OpenAPI 3.1 calls it, beside the headers, and as no open phase."""
    body = describe(plugins=[ByConnection])[2]
    assert body["components"]["securitySchemes"]["mutualTLS"] == {"type": "mutualTLS"}
    ways = body["paths"]["/v1/models"]["get"]["security"]
    assert ways == [{"X-Caller": ["models:read"]}, {"mutualTLS": ["models:read"]}]
    assert "mutualTLS" not in describe()[2]["components"]["securitySchemes"]
