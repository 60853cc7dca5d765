"""docs/settings.md and instance/secureml.example.toml, made from the schemas themselves.

python tests/project/settings_reference.py      writes both; a test refuses drift
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, missing

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

from secureml.pipeline.phases import NEVER_OBSERVED, REFUSING
from secureml.pipeline.plugin import Plugin, phases_of
from secureml.settings import TABLES
from secureml.state.fields import ByteSize, Duration, InstancePath, SecretRef

SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
TIMES = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def plugins() -> list[type[Plugin]]:
    """Return the class of every package under plugins/, by name."""
    folders = sorted(path.parent.name for path in (CHECKOUT / "plugins").glob("*/__init__.py"))
    return [importlib.import_module(f"plugins.{name}").plugin for name in folders]


def tables() -> Iterator[tuple[str, str, type[Schema], bool]]:
    """Yield each table's name, its sentence, its schema, and whether it takes a mode."""
    for name, schema in TABLES.items():
        yield name, first_sentence(schema), schema, False
        for key, inner in nested(schema):
            yield f"{name}.{key}", first_sentence(inner), inner, False
    for cls in plugins():
        phases = set(phases_of(cls))
        observable = bool(phases & REFUSING) and not phases & NEVER_OBSERVED
        yield (
            f"plugins.{cls.name}",
            first_sentence(sys.modules[cls.__module__]),
            cls.schema,
            observable,
        )
        for key, schema in lists_of_tables(cls.schema):
            yield f"[plugins.{cls.name}.{key}]", first_sentence(schema), schema, False
        for key, schema in nested(cls.schema):
            yield f"plugins.{cls.name}.{key}", first_sentence(schema), schema, False


def lists_of_tables(schema: type[Schema]) -> Iterator[tuple[str, type[Schema]]]:
    """Yield each key that takes a list of tables, and the schema of one of them."""
    for name, field in schema().fields.items():
        if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
            yield name, type(field.inner.schema)


def nested(schema: type[Schema]) -> Iterator[tuple[str, type[Schema]]]:
    """Yield the tables within a table, which stand under headings of their own."""
    for key, field in schema().fields.items():
        if isinstance(field, fields.Nested):
            yield key, type(field.schema)


def plain_fields(schema: type[Schema]) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a table that are not tables."""
    for key, field in schema().fields.items():
        if not isinstance(field, fields.Nested):
            yield key, field


def first_sentence(thing: Any) -> str:
    """Return the first line of a docstring as markdown, without the table it repeats."""
    line = (thing.__doc__ or "").strip().splitlines()[0].split("table: ", 1)[-1].strip()
    return (line[:1].upper() + line[1:]).replace("``", "`")


def default_of(field: Any) -> Any:
    """Return a key's default, or missing where the operator must say."""
    value = field.load_default
    return value() if callable(value) else value


def one_of(schema: Schema) -> dict[str, Any]:
    """Return a table with what has no default; a file that may be left out is not there."""
    return {
        key: example_of(key, field)
        for key, field in schema.fields.items()
        if default_of(field) in (missing, None)
        if field.required or not isinstance(field, InstancePath)
    }


def written(field: Any, value: Any) -> Any:
    """Return a default as an operator would write it: a time or a size with its unit."""
    units = TIMES if isinstance(field, Duration) else SIZES if isinstance(field, ByteSize) else ()
    if isinstance(value, (int, float)):
        for unit, length in units:
            if value % length == 0 and (value or length == 1):
                return f"{value / length:.0f}{unit}"
    return value


def example_of(name: str, field: Any) -> Any:
    """Return what stands in the example file: the default, or something that could stand there."""
    value = written(field, default_of(field))
    if value is not missing and value is not None:
        return value
    if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
        return [one_of(field.inner.schema)]
    if isinstance(field, fields.Nested):
        return one_of(field.schema)
    if isinstance(field, SecretRef) and "example" not in field.metadata:
        return f"file:keys/{name.replace('_', '-')}"
    if "example" not in field.metadata:
        raise LookupError(f"{name} has no default: give its field an example in its metadata")
    return field.metadata["example"]


def quoted(key: str) -> str:
    """Write a key as TOML."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


def toml(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{quoted(key)} = {toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def keys(schema: type[Schema], observable: bool) -> Iterator[tuple[str, str, str]]:
    """Yield each key, its default as text, and its sentence."""
    for name, field in plain_fields(schema):
        value = written(field, default_of(field))
        text = "required" if value is missing else "unset" if value is None else f"`{toml(value)}`"
        yield name, text, field.metadata["description"]
    if observable:
        yield (
            "mode",
            '`"enforce"`',
            ("`observe` turns refusals into log lines, to try a rule on live traffic first."),
        )


def markdown() -> str:
    """Return docs/settings.md."""
    parts = [
        "# Settings",
        "",
        "Everything an operator can say stands in `instance/secureml.toml`.",
        "An unknown table or key, or a value that does not fit, stops the start with one line.",
        "Secrets are never written here; a key that wants one takes a [reference](secrets.md).",
        "This page is made from the schemas by `python tests/project/settings_reference.py`.",
        "",
    ]
    for name, sentence, schema, observable in tables():
        parts += [f"## `[{name}]`", "", sentence, ""]
        rows = list(keys(schema, observable))
        if rows:
            parts += ["| key | default | meaning |", "|---|---|---|"]
            parts += [f"| `{key}` | {text} | {meaning} |" for key, text, meaning in rows]
        else:
            parts.append("It has no settings.")
        parts.append("")
    return "\n".join(parts)


def example() -> str:
    """Return instance/secureml.example.toml: every key, commented out at its default."""
    lines = [
        "# Every setting with its default; copy what you change into secureml.toml.",
        "# A line that begins with # and a space is for you, one with # alone is a setting.",
        "# Made from the schemas by python tests/project/settings_reference.py.",
    ]
    for name, sentence, schema, observable in tables():
        lines += ["", f"# {sentence}", f"#[{name}]"]
        elsewhere = dict(lists_of_tables(schema))
        for key, field in plain_fields(schema):
            if key in elsewhere:
                continue
            value, default = example_of(key, field), default_of(field)
            why = " Required." if default is missing else " Unset." if default is None else ""
            lines += [f"# {field.metadata['description']}{why}", f"#{key} = {toml(value)}"]
        if observable:
            lines += ["# `observe` only logs what would be refused.", '#mode = "enforce"']
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    (CHECKOUT / "docs" / "settings.md").write_text(markdown())
    (CHECKOUT / "instance" / "secureml.example.toml").write_text(example())


if __name__ == "__main__":
    main()
