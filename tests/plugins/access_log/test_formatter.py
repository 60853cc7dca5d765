"""A line is the given fields in their order, as python-json-logger writes them."""

from __future__ import annotations

import json
import logging

from hypothesis import given
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter

from plugins.access_log.formatter import LineFormatter


def test_a_line_has_the_given_fields_in_their_order_and_no_other() -> None:
    fields = {"time": "t", "id": "1", "status": 200, "observed": [{"code": "x"}], "model": None}
    text = LineFormatter().line(fields)
    assert list(json.loads(text).items()) == list(fields.items())


def test_attack_no_value_ends_the_line_or_adds_a_field() -> None:
    fields = {"route": '/a"\n{"status":200}\u2028\x00%s', "exc_info": "not an exception"}
    text = LineFormatter().line(fields)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == fields


def test_the_fields_of_the_caller_are_not_changed() -> None:
    fields = {"id": "1"}
    LineFormatter().line(fields)
    assert fields == {"id": "1"}


def test_the_library_s_own_formatter_is_used() -> None:
    assert LineFormatter.format is JsonFormatter.format


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=6))
def test_a_line_is_what_the_library_makes_of_a_whole_record(fields) -> None:
    """To the byte: with the record that `logging` makes, and nothing of ours but the fields."""
    record = logging.LogRecord("access", logging.INFO, "", 0, fields, None, None)
    assert LineFormatter().line(fields) == JsonFormatter([]).format(record)
