"""Which paths in a table are written, by the word of their fields (``writes``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema, fields

from secureml.state.fields import Writes

STDERR = "-"


def written_by(schema: Schema, config: Mapping[str, Any]) -> Iterator[tuple[str, str, Writes]]:
    """Yield key, path and kind of everything a checked table has written, its defaults too."""
    for word, field in schema.fields.items():
        yield from _of_value(field, config.get(field.attribute or word), word)


def _of_value(field: Any, value: Any, key: str) -> Iterator[tuple[str, str, Writes]]:
    writes = getattr(field, "writes", None)
    if isinstance(writes, Writes) and isinstance(value, str) and value != STDERR:
        yield key, value, writes
    elif isinstance(field, fields.Nested) and isinstance(value, Mapping):
        for word, path, how in written_by(field.schema, value):
            yield f"{key}.{word}", path, how
    elif isinstance(field, fields.List) and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _of_value(field.inner, each, f"{key}.{number}")
