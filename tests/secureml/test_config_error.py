"""The one exception that stops a start: one line, with place and fix."""

from __future__ import annotations

import pytest

from secureml.config_error import ConfigError


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({}, "it is wrong"),
        ({"fix": "mend it"}, "it is wrong; fix: mend it"),
        ({"table": "store"}, "[store]: it is wrong"),
        ({"key": "url"}, "url: it is wrong"),
        (
            {"file": "f.toml", "table": "store", "key": "url", "fix": "mend it"},
            "f.toml: [store] url: it is wrong; fix: mend it",
        ),
    ],
)
def test_it_is_one_line_with_whatever_is_known(words, line):
    error = ConfigError("it is wrong", **words)
    assert str(error) == line
    assert error.message == "it is wrong"


def test_attack_a_value_with_line_breaks_cannot_pose_as_two_lines():
    error = ConfigError("bad\nsecureml: all is well", file="a\r\nb", fix="one\ttwo")
    assert str(error) == "a b: bad secureml: all is well; fix: one two"


def test_a_place_is_filled_in_where_it_was_not_known_and_never_replaced():
    error = ConfigError("x", key="k", fix="f").within(file="a", table="t")
    assert str(error) == "a: [t] k: x; fix: f"
    assert str(error.within(file="b", table="u")) == str(error)
