"""The document: what a generated client needs, from the app itself."""

from __future__ import annotations

import pytest


@pytest.fixture
def paths(describe):
    """The paths that a caller with both scopes sees."""
    return describe()[2]["paths"]


def test_every_operation_has_an_id_of_its_own_and_a_summary(paths):
    """Generators name functions by them."""
    ways = [way for path in paths.values() for way in path.values()]
    names = [way["operationId"] for way in ways]
    assert len(set(names)) == len(names)
    assert {"predict", "predict_loan", "models", "model_secret", "healthz"} <= set(names)
    assert all(way["summary"] for way in ways)


def test_a_guarded_route_names_the_header_and_the_scope(paths, describe):
    """And a public one neither."""
    assert paths["/v1/models/loan/predict"]["post"]["security"] == [{"X-Caller": ["predict"]}]
    assert paths["/healthz"]["get"]["security"] == []
    schemes = describe()[2]["components"]["securitySchemes"]
    assert schemes == {"X-Caller": {"type": "apiKey", "in": "header", "name": "X-Caller"}}


def test_every_refusal_named_is_in_the_catalogue_with_its_codes(describe):
    """No reference leads nowhere."""
    body = describe()[2]
    responses = body["components"]["responses"]
    named = {
        answer["$ref"].rpartition("/")[2]
        for path in body["paths"].values()
        for way in path.values()
        for answer in way["responses"].values()
        if "$ref" in answer
    }
    assert named <= set(responses)
    shape = responses["Refused422"]["content"]["application/problem+json"]["schema"]
    assert shape["allOf"][1]["properties"]["code"]["enum"] == ["invalid_input", "too_many_rows"]


def test_a_models_own_path_has_no_parameter_and_its_own_shapes(paths):
    """So that a client function takes rows of the right columns."""
    way = paths["/v1/models/loan/predict"]["post"]
    assert "parameters" not in way
    asked = way["requestBody"]["content"]["application/json"]["schema"]
    named = asked["properties"]["instances"]["items"]["anyOf"][1]
    assert named["required"] == ["income", "home", "note", "married"]
    answered = way["responses"]["200"]["content"]["application/json"]["schema"]
    assert answered["properties"]["predictions"]["items"] == {
        "type": "string", "enum": ["yes", "no"],
    }  # fmt: skip


def test_a_view_that_answers_at_a_refusals_status_may_do_both(paths):
    """The media type tells which."""
    content = paths["/readyz"]["get"]["responses"]["503"]["content"]
    assert set(content) == {"application/json", "application/problem+json"}


def test_the_list_of_models_leads_to_each(paths):
    """By links, which a tester or a client can follow."""
    assert set(paths["/v1/models"]["get"]["responses"]["200"]["links"]) == {"model"}
