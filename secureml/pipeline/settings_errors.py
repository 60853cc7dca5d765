"""What is wrong with a settings table, in one line: the key, and what could stand there instead.

Marshmallow says that a value does not fit. Whoever wrote it needs to know what would.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing, validate

from secureml.config_error import ConfigError, did_you_mean

UNKNOWN, MISSING = "Unknown field.", "Missing data for required field."
_PLAIN_MESSAGES = {
    UNKNOWN: "this key is unknown",
    MISSING: "this key is required and not there",
    "String does not match expected pattern.": "this text does not have the right form",
    "Shorter than minimum length 1.": "this is empty, and it may not be",
    "Not a valid string.": "this is not a text",
    "Not a valid list.": "this is not a list",
    "Not a valid boolean.": "this is neither true nor false",
    "Field may not be null.": "this value may not be empty",
    "Invalid input type.": "this must be a table",
}
# By the class of marshmallow's own fields; ours say it themselves, in `expects`.
_EXPECTS: tuple[tuple[type[fields.Field[Any]], str], ...] = (
    (fields.Boolean, "true or false, without quotes"),
    (fields.Integer, "a whole number, without quotes"),
    (fields.Number, "a number, without quotes"),
    (fields.List, "a list in square brackets"),
    (fields.Dict, "a table of names and values"),
    (fields.Nested, "a table"),
    (fields.String, "a text in quotes"),
)
_TEXT = "a text"
_RULES = (validate.Range, validate.Length)
_ONE = {"entries": "entry", "characters": "character"}


def invalid_table(
    error: ValidationError,
    table: str,
    schema: Schema,
    given: Mapping[str, Any],
    extra_keys: Collection[str] = (),
) -> ConfigError:
    """Return the fault of a settings table that is to be told first, with its key and a fix.

    ``given`` is the table as it was written; ``beside`` are keys it takes that are not the
    schema's.
    """
    path, message_given = _first(error.messages)
    owner, field = _find(schema, path)
    key = ".".join(path)
    message = _PLAIN_MESSAGES.get(message_given, message_given)
    if hasattr(field, "written") and message_given.startswith("Must be "):
        message = "this is outside its bounds"  # which were told in seconds, or in bytes
    if message_given == UNKNOWN:
        return ConfigError(message, table=table, key=key, fix=_fix_unknown(path, owner, extra_keys))
    return ConfigError(message, table=table, key=key, fix=_fix_value(path, field, given, schema))


def _fix_unknown(path: tuple[str, ...], owner: Schema | None, extra_keys: Collection[str]) -> str:
    more = extra_keys if len(path) == 1 else ()
    known = sorted({*owner.fields, *more}) if owner is not None else []
    if not known:
        return "remove it; this table has no settings"
    return f"{did_you_mean(path[-1], known)}the keys here are {', '.join(known)}"


def _fix_value(path: tuple[str, ...], field: Any, given: Mapping[str, Any], schema: Schema) -> str:
    if field is None:
        return "see docs/settings.md for what this table takes"
    value = _value_at(given, path)
    # What one entry of a list means is said of the list.
    entry = path[-1].isdigit() and not field.metadata
    key, told = (path[-2], _find(schema, path[:-1])[1]) if entry else (path[-1], field)
    means = str(told.metadata.get("description", ""))
    example = _example(key, told)
    words = [f"{_near(field, value)}write {_expected(field, value)}"]
    words += [f"for example {example}"] * bool(example)
    words += [f"it means: {means.replace('`', chr(39)).rstrip('.')}"] * bool(means)
    return "; ".join(words)


def _expected(field: Any, value: Any = None) -> str:
    """Return what a value of this field is, with its bounds or the words it may be.

    ``value`` is what stands there, None where nothing does: quotes are not named to whoever has
    them right.
    """
    choices = [_quoted(word) for rule in field.validators for word in getattr(rule, "choices", ())]
    if choices:
        return f"one of {', '.join(choices)}"
    kind = _kind(field, value)
    bounds = [_bounds(rule, field) for rule in field.validators if isinstance(rule, _RULES)]
    if kind == _TEXT:
        return " ".join([kind, *(bounds or ["of the right form"])])
    if isinstance(field, fields.List) and not isinstance(field.inner, fields.Nested):
        kind = " ".join([kind, *bounds])
        return f"{kind}, each {_expected(field.inner)}"
    return " ".join([kind, *bounds])


def _kind(field: Any, value: Any) -> str:
    kind = str(getattr(field, "expects", "")) or next(
        (words for cls, words in _EXPECTS if isinstance(field, cls)), "another value"
    )
    if isinstance(value, str):
        return kind.replace(" in quotes", "")
    if value is None:
        return kind
    return kind.replace(", without quotes,", "").replace(", without quotes", "")


def _bounds(rule: validate.Range | validate.Length, field: Any) -> str:
    """Return the bounds of a value as they would be written, or those of its length."""
    least, most = rule.min, rule.max
    if isinstance(rule, validate.Length):
        what = "entries" if isinstance(field, fields.List) else "characters"
        if most is None:
            return f"with at least {least} {what if least != 1 else _ONE[what]}"
        return f"of {least or 0} to {most} {what}"
    written = getattr(field, "written", str)
    if most is None:
        return f"of at least {written(least)}"
    if least is None:
        return f"of at most {written(most)}"
    return f"from {written(least)} to {written(most)}"


def _near(field: Any, value: Any) -> str:
    choices = [word for rule in field.validators for word in getattr(rule, "choices", ())]
    words = [choice for choice in choices if choice and isinstance(choice, str)]
    return did_you_mean(value, words) if isinstance(value, str) else ""


def _example(key: str, field: Any) -> str:
    """Return a line that could stand there; "" where the schema has none to give."""
    value = field.metadata.get("example", missing)
    if value is missing and getattr(field, "default_is_example", False):
        value = field.load_default or missing
    if value is missing:
        return ""
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(k)} = {_quoted(v)}" for k, v in value.items())
        return f"{key} = {{{inside}}}"
    return f"{key} = {_quoted(value)}"


def _quoted(value: Any) -> str:
    """Write a value as TOML does: JSON, for all that stands in examples."""
    return json.dumps(value, ensure_ascii=False)


def _first(messages: Any) -> tuple[tuple[str, ...], str]:
    """Return the fault to tell: an unknown key first, for it may be the one that is missing."""
    found = list(_faults(messages, ()))
    return min(found, key=lambda fault: (fault[1] != UNKNOWN, fault[1] == MISSING))


def _faults(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, str):
        yield path, messages
    elif isinstance(messages, dict):
        for word, inner in messages.items():
            yield from _faults(inner, path if word == "_schema" else (*path, str(word)))
    else:
        for inner in messages:
            yield from _faults(inner, path)


def _find(schema: Schema, path: tuple[str, ...]) -> tuple[Schema | None, Any]:
    """Return the schema that owns the last word of a path, and the field of that word, or None."""
    owner: Schema | None = schema
    field: Any = None
    for word in path:
        if isinstance(field, fields.List):
            field, owner = field.inner, None
        elif isinstance(field, fields.Dict):
            field = {"value": field.value_field, "key": field.key_field}.get(word, field)
            owner = None
        else:
            owner = field.schema if isinstance(field, fields.Nested) else owner
            field = owner.fields.get(word) if owner is not None else None
    return owner, field


def _value_at(given: Any, path: tuple[str, ...]) -> Any:
    for word in path:
        if isinstance(given, Mapping):
            given = given.get(word)
        elif isinstance(given, list) and word.isdigit() and int(word) < len(given):
            given = given[int(word)]
        else:
            return None
    return given
