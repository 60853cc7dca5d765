"""Whether a value fits a JSON Schema: the words of 2020-12 that our schemas use, and no other.

A word that is not known here raises, so that a schema cannot promise what nobody checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
}
SILENT = {"$schema", "$id", "title", "$defs"}


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong, as `path: word`; nothing where the value fits."""
    return list(_faults(schema, value, "", schema))


def _faults(schema: dict[str, Any], value: Any, path: str, root: Any) -> Iterator[str]:
    for word, wanted in schema.items():
        if word in SILENT:
            continue
        if word == "$ref":
            assert wanted.startswith("#/$defs/"), wanted
            yield from _faults(root["$defs"][wanted.removeprefix("#/$defs/")], value, path, root)
        elif word in ("properties", "items"):
            yield from _inside(word, wanted, value, path, root)
        elif not CHECKS[word](wanted, value, schema):
            yield f"{path or '/'}: {word}"


def _inside(word: str, wanted: Any, value: Any, path: str, root: Any) -> Iterator[str]:
    if word == "items" and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _faults(wanted, item, f"{path}/{number}", root)
    if word == "properties" and isinstance(value, dict):
        for name in wanted.keys() & value.keys():
            yield from _faults(wanted[name], value[name], f"{path}/{name}", root)


def _of_kind(kind: str, value: Any) -> bool:
    return isinstance(value, KINDS[kind]) and not isinstance(value, bool)


CHECKS: dict[str, Any] = {
    "type": lambda kind, value, _: _of_kind(kind, value),
    "enum": lambda choice, value, _: value in choice,
    "pattern": lambda shape, value, _: not isinstance(value, str) or bool(re.search(shape, value)),
    "minimum": lambda least, value, _: not _of_kind("number", value) or value >= least,
    "maximum": lambda most, value, _: not _of_kind("number", value) or value <= most,
    "minItems": lambda least, value, _: not isinstance(value, list) or len(value) >= least,
    "required": lambda names, value, _: not isinstance(value, dict) or set(names) <= set(value),
    "dependentRequired": lambda table, value, _: (
        not isinstance(value, dict)
        or all(set(names) <= set(value) for name, names in table.items() if name in value)
    ),
    "additionalProperties": lambda allowed, value, schema: (
        allowed or not isinstance(value, dict) or set(value) <= set(schema["properties"])
    ),
}
