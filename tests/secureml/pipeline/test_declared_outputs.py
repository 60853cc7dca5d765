"""What a table has written is found by its fields, its defaults too."""

from __future__ import annotations

from marshmallow import Schema
from marshmallow import fields as plain

from secureml.kit import fields
from secureml.pipeline.declared_outputs import written_by


class Inner(Schema):
    """A table in a table."""

    folder = fields.AnyPath(load_default="made", writes=fields.Writes(folder=True))


class Table(Schema):
    """What is written, what is read, and what may be left out."""

    file = fields.InstancePath(load_default="a.log", writes=fields.Writes())
    read = fields.InstancePath(load_default="rules.toml")
    none = fields.AnyPath(load_default=None, writes=fields.Writes())
    more = plain.List(plain.Nested(Inner))


def found(**table):
    return [(key, path, how.folder) for key, path, how in written_by(Table(), Table().load(table))]


def test_defaults_and_inner_tables_count_and_what_is_read_does_not():
    assert found(more=[{}, {"folder": "/srv/x"}]) == [
        ("file", "a.log", False),
        ("more.0.folder", "made", True),
        ("more.1.folder", "/srv/x", True),
    ]


def test_the_word_for_stderr_is_no_file():
    assert found(file="-") == []
