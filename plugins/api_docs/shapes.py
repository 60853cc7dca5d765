"""From marshmallow schemas to JSON Schema as OpenAPI 3.1 takes it (draft 2020-12).

The conversion is apispec's; what is added is what it cannot know: that our bodies refuse
unknown keys, and that a Python pattern is anchored by the call and not by its text.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

Shape = dict[str, Any]


def _converter() -> Any:
    # Nested schemas stand where they are used: names of ours are nobody's business.
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: "")
    APISpec(title="", version="", openapi_version="3.1.0", plugins=[plugin])
    return plugin.converter


@cache
def request_shape(schema: type[Schema]) -> Shape:
    """Return what a body must be."""
    return {**_shape(schema), "additionalProperties": False}


@cache
def answer_shape(schema: type[Schema]) -> Shape:
    """Return what an answer is; later versions may add keys, so more are allowed."""
    shape: Shape = _open(_shape(schema))
    return shape


def _shape(schema: type[Schema]) -> Shape:
    found: Shape = _converter().schema2jsonschema(schema())
    shape: Shape = _filled(_anchored({"type": "object", **found}))
    return shape


def _filled(shape: Any) -> Any:
    """Say of each list what is in it, if anything may be: generators of clients refuse others."""
    if isinstance(shape, dict):
        found = {key: _filled(value) for key, value in shape.items()}
        return found | {"items": found.get("items", {})} if _is_list(found) else found
    return [_filled(item) for item in shape] if isinstance(shape, list) else shape


def _is_list(shape: Shape) -> bool:
    kind = shape.get("type")
    return kind == "array" or (isinstance(kind, list) and "array" in kind)


def _anchored(shape: Any) -> Any:
    """Write each pattern as ECMA-262 reads it: marshmallow matches from the start of a text."""
    if isinstance(shape, dict):
        return {
            key: _pattern(value)
            if key == "pattern" and isinstance(value, str)
            else _anchored(value)
            for key, value in shape.items()
        }
    return [_anchored(item) for item in shape] if isinstance(shape, list) else shape


def _open(shape: Any) -> Any:
    if isinstance(shape, dict):
        closed = shape.get("additionalProperties") is False
        return {
            key: _open(value)
            for key, value in shape.items()
            if not (closed and key == "additionalProperties")
        }
    return shape


def _pattern(text: str) -> str:
    return f"^(?:{text.removeprefix('^').replace(chr(92) + 'Z', '$')})"
