"""Schemas as OpenAPI takes them."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from plugins.api_docs.shapes import answer_shape, request_shape


class Inner(Schema):
    """Something inside."""

    number = fields.Integer(required=True)


class Outer(Schema):
    """Something with everything."""

    name = fields.String(required=True, validate=validate.Regexp(r"[a-z]{1,9}\Z"))
    scope = fields.String(load_default=None)
    inner = fields.List(fields.Nested(Inner))


def test_a_body_refuses_what_it_does_not_know_and_an_answer_may_grow():
    """At every depth."""
    assert request_shape(Outer)["additionalProperties"] is False
    assert "additionalProperties" not in str(answer_shape(Outer))


def test_a_pattern_is_anchored_as_marshmallow_reads_it():
    """A pattern in JSON Schema may match anywhere."""
    assert request_shape(Outer)["properties"]["name"]["pattern"] == "^(?:[a-z]{1,9}$)"


def test_what_may_be_null_says_so_and_what_is_nested_stands_in_its_place():
    """Without names of ours."""
    shape = request_shape(Outer)["properties"]
    assert set(shape["scope"]["type"]) == {"string", "null"}
    assert shape["inner"]["items"]["required"] == ["number"]


class Lists(Schema):
    """Lists of which nothing is said, one that may be null, and a key with the word of a type."""

    rows = fields.Raw(metadata={"type": "array"})
    more = fields.Raw(allow_none=True, metadata={"type": "array"})
    type = fields.String()


def test_of_each_list_it_is_said_that_anything_may_be_in_it():
    """Generators of clients refuse a list of which nothing is said."""
    shape = request_shape(Lists)["properties"]
    assert shape["rows"] == {"type": "array", "items": {}}
    assert shape["more"]["items"] == {}
    assert "items" not in shape["type"]
    assert "items" not in shape
