"""A settings table that does not fit: the key that is wrong, and what could stand there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as plain

from plugins.rate_limit.settings import Config as RateLimit
from plugins.transport.plugin import Config as Transport
from secureml.kit import fields
from secureml.pipeline.settings_errors import invalid_table

INSIDE = "write a path inside the instance folder, written relative to it; "


def fault(schema, table):
    with pytest.raises(ValidationError) as refused:
        schema().load(table)
    return invalid_table(refused.value, "plugins.x", schema(), table)


def test_a_misspelt_key_is_told_and_not_the_one_that_is_missing_for_it():
    """`host =` was answered with "hosts is missing", which nobody looks for in `host`."""
    emitted = fault(Transport, {"host": ["ml.example.org"], "trusted": ["unix"]})
    assert (emitted.key, emitted.message) == ("host", "this key is unknown")
    assert emitted.fix.startswith("did you mean 'hosts'? the keys here are allow_origins, direct, ")


def test_a_key_that_is_missing_is_told_with_a_line_to_write():
    emitted = fault(Transport, {})
    assert (emitted.key, emitted.message) == ("hosts", "this key is required and not there")
    assert 'for example hosts = ["ml.example.org"]' in emitted.fix


def test_a_misspelt_key_in_a_list_of_tables_is_found_there():
    emitted = fault(RateLimit, {"limits": [{"for": "client", "alow": "5 per minute"}]})
    assert emitted.key == "limits.0.alow"
    assert emitted.fix.startswith("did you mean 'allow'? the keys here are allow, for, model, ")


@pytest.mark.parametrize(
    ("limit", "key", "fix"),
    [
        ({"unit": "row"}, "unit", "did you mean 'rows'? write one of"),
        ({"allow": "lots"}, "allow", 'for example allow = "1000 per minute"'),
        ({"for": "somebody"}, "for", "it means: 'address', 'client', 'tier:NAME'"),
    ],
)
def test_a_value_in_a_list_of_tables_is_told_with_what_could_stand_there(limit, key, fix):
    emitted = fault(RateLimit, {"limits": [{"for": "client", "allow": "5 per minute"} | limit]})
    assert emitted.key == f"limits.0.{key}"
    assert fix in emitted.fix


class Every(Schema):
    """A key of every kind, without a description."""

    flag = plain.Boolean()
    number = fields.StrictInteger(validate=validate.Range(min=1))
    share = fields.StrictFloat(validate=validate.Range(0, 1))
    networks = plain.List(fields.Cidr())
    texts = plain.List(plain.String())
    header = fields.HeaderName()
    right = fields.Scope()
    secret = fields.SecretRef()
    many = plain.Dict(keys=plain.String(), values=plain.List(plain.String()))
    inside = plain.Nested(Transport)


@pytest.mark.parametrize(
    ("table", "key", "fix"),
    [
        ({"flag": "x"}, "flag", "write true or false, without quotes"),
        ({"number": 0}, "number", "write a whole number of at least 1"),
        ({"share": 2}, "share", "write a number from 0 to 1"),
        ({"networks": ["10.0.0.1/8"]}, "networks.0", 'write a network such as "10.0.0.0/8"'),
        ({"networks": "10.0.0.0/8"}, "networks", "write a list in square brackets, each a netw"),
        ({"texts": [1]}, "texts.0", "write a text in quotes"),
        ({"header": "X Y"}, "header", "write a header name such as X-API-Key"),
        ({"right": "P"}, "right", "write a scope such as models:read or predict@churn"),
        ({"secret": "hunter2"}, "secret", 'write where the secret is: "file:keys/NAME"'),
        ({"many": []}, "many", "write a table of names and values"),
        ({"many": {"a": 1}}, "many.a.value", "write a list in square brackets, each a text"),
        ({"inside": 1}, "inside", "write a table"),
        ({"inside": {"hosts": ["a b"]}}, "inside.hosts.0", "write a host name such as"),
        ({"inside": {"host": []}}, "inside.host", "did you mean 'hosts'?"),
    ],
)
def test_every_kind_of_value_says_what_it_is(table, key, fix):
    emitted = fault(Every, table)
    assert emitted.key == key
    assert emitted.fix.startswith(fix)
    assert "hunter2" not in str(emitted)


def test_no_shipped_key_is_answered_with_words_that_say_nothing():
    """A list no value can be: each key says what it takes, for every table there is."""
    from secureml.settings_schema import TABLES

    for name, schema in TABLES.items():
        for key in schema().fields:
            emitted = fault(schema, {key: [[]]})
            if emitted.key == key or emitted.key.startswith(f"{key}."):
                assert "write " in emitted.fix, (name, key, emitted.fix)
                assert "another value" not in emitted.fix, (name, key, emitted.fix)


def shipped():
    """Return the schema of each table that an operator can write, by its name."""
    from secureml.settings_schema import TABLES

    found = dict(TABLES)
    for file in sorted((Path(__file__).parents[3] / "plugins").glob("*/plugin.py")):
        name = file.parent.name
        module = importlib.import_module(f"plugins.{name}.plugin")
        for cls in vars(module).values():
            if isinstance(cls, type) and getattr(cls, "name", "") == name and cls.schema:
                found[f"plugins.{name}"] = cls.schema
    return found


@pytest.mark.parametrize(("name", "schema"), sorted(shipped().items()))
def test_no_text_in_quotes_is_answered_with_the_advice_to_write_one(name, schema):
    """`bind = "nonsense"` was told to "write a text in quotes", as were thirty other keys."""
    for key in schema().fields:
        for value in ("", " ", "a b", "x\ny", [""], [" "], []):
            try:
                schema().load({key: value})
            except ValidationError as error:
                emitted = invalid_table(error, name, schema(), {key: value})
                if emitted.key not in (key, f"{key}.0"):
                    continue  # another key is required
                entry = emitted.key.endswith(".0")
                assert "another value" not in emitted.fix, emitted
                if isinstance(value, str) or entry:
                    assert not emitted.fix.startswith("write a text in quotes"), emitted
                if entry and schema().fields[key].metadata.get("description"):
                    assert "it means: " in emitted.fix, emitted


@pytest.mark.parametrize(
    ("schema", "table", "message", "fix"),
    [
        (
            "server",
            {"bind": "nonsense"},
            "This is not an address that Gunicorn could listen on.",
            'write a text of the right form; for example bind = "unix:/run/secureml/',
        ),
        (
            "server",
            {"nginx": "etc/nginx"},
            "This is not the absolute path of a folder.",
            "write a text of the right form; it means: The folder of Nginx's include files",
        ),
        (
            "plugins.metrics",
            {"listen": "0.0.0.0:9464"},
            "This is not a loopback address such as 127.0.0.1:9464.",
            "write a text of the right form; it means: Empty for the route",
        ),
        (
            "plugins.metrics",
            {"certificates": [""]},
            "this is empty, and it may not be",
            "write a text with at least 1 character; it means: Certificates (PEM)",
        ),
        (
            "secureml",
            {"plugins": []},
            "this is empty, and it may not be",
            "write a list in square brackets with at least 1 entry, each a text in quotes; for",
        ),
        (
            "plugins.traces",
            {"service": "x" * 101},
            "Length must be between 1 and 100.",
            "write a text of 1 to 100 characters; ",
        ),
        (
            "recording",
            {"window": "2h"},
            "this is outside its bounds",
            'write a time such as "30s", "15m", "24h" or "90d" from 1s to 1h; ',
        ),
        (
            "plugins.audit_log",
            {"key": "file:k", "rotate": 1},
            "this is outside its bounds",
            'write a size such as "64KiB" or "1MiB" from 64KiB to 4GiB; ',
        ),
        (
            "plugins.access_log",
            {"file": "/var/log/x"},
            "This is an absolute path; it must be relative to the instance folder.",
            f'{INSIDE}for example file = "logs/access.log"; ',
        ),
        (
            "models",
            {"folder": "../x"},
            "This path leads outside the instance folder.",
            f'{INSIDE}for example folder = "models"; ',
        ),
        (
            "plugins.rate_limit",
            {"counters": "../x"},
            "This must be a path, relative to the instance folder or absolute.",
            "write a path, relative to the instance folder or absolute, and without .. in it; ",
        ),
    ],
)
def test_the_fix_is_for_the_fault_and_not_for_another(schema, table, message, fix):
    emitted = fault(shipped()[schema], table)

    assert emitted.message == message
    assert emitted.fix.startswith(fix)


def test_a_table_without_settings_says_so():
    emitted = fault(Schema, {"a": 1})
    assert emitted.fix == "remove it; this table has no settings"
