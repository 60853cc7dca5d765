"""Names in settings that stand for something elsewhere: a client, model, scope or plugin.

A name that matches nothing does nothing, and nobody would notice: a limit for a client that is
not there limits nobody. So the fields that hold such names say so (`refers`), in plugins of
others too, and whoever knows what there is compares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from marshmallow import Schema, fields

from secureml.config_error import ConfigError, did_you_mean

CLIENT, MODEL, SCOPE, PLUGIN, TIER = "client", "model", "scope", "plugin", "tier"
DEFINES_SCOPE = "defines scope"  # a scope that is one because this setting asks for it

_CURES = {
    CLIENT: "add it with `secureml clients add {name}`",
    MODEL: "seal it with `secureml models seal FILE --name {name}`",
    SCOPE: "write one that a route demands: `secureml routes` shows them",
    PLUGIN: "name it in [secureml] plugins",
    TIER: "give it to a client with `secureml clients set NAME --tier {name}`",
}


class Reference(NamedTuple):
    """A name in the settings: what kind of thing it stands for, and where it is written."""

    kind: str
    name: str
    table: str
    key: str


def references(schema: Schema, given: Mapping[str, Any], table: str) -> list[Reference]:
    """Return the names that an operator wrote into a table; what is left out names nothing."""
    return [Reference(kind, name, table, key) for kind, name, key in _of_table(schema, given, "")]


def unknown(
    found: Iterable[Reference], known: Mapping[str, Collection[str]]
) -> Iterator[tuple[Reference, ConfigError]]:
    """Yield each reference that matches nothing with its fault; kinds not in ``known`` pass."""
    for each in found:
        if each.kind in known and each.name not in known[each.kind]:
            yield each, _fault(each, known[each.kind])


def _fault(reference: Reference, known: Collection[str]) -> ConfigError:
    cure = _CURES[reference.kind].format(name=reference.name)
    return ConfigError(
        f"there is no {reference.kind} {reference.name!r}, so this setting does nothing",
        table=reference.table,
        key=reference.key,
        fix=f"{did_you_mean(reference.name, sorted(known))}{cure}, or remove the name",
    )


def _of_table(
    schema: Schema, given: Mapping[str, Any], before: str
) -> Iterator[tuple[str, str, str]]:
    for word, field in schema.fields.items():
        if word in given:
            yield from _of_value(field, given[word], f"{before}{word}")


def _of_value(field: Any, value: Any, key: str) -> Iterator[tuple[str, str, str]]:
    if hasattr(field, "refers"):
        yield from ((kind, name, key) for kind, name in field.refers(value))
    elif isinstance(field, fields.Nested) and isinstance(value, Mapping):
        yield from _of_table(field.schema, value, f"{key}.")
    elif isinstance(field, fields.List) and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _of_value(field.inner, each, f"{key}.{number}")
    elif isinstance(field, fields.Dict) and isinstance(value, Mapping):
        for name, each in value.items():
            yield from _of_value(field.value_field, each, f"{key}.{name}")
