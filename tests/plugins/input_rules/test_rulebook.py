"""Rules asked of rows: what is broken, what is unknown, and the same for one row and many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.input_rules.rule import Rule, RuleError
from plugins.input_rules.rulebook import Columns, Rulebook, bind, quiet
from secureml.models.card import Feature
from secureml.models.rows.reader import RowReader
from tests.made_card import card

FEATURES = (
    Feature("a", missing="allow"),
    Feature("b", missing="allow"),
    Feature("n", "integer", 0, 10),
    Feature("flag", "boolean", missing="allow"),
    Feature("kind", "category", categories=("x", "y"), missing="allow"),
    Feature("note", "text", missing="allow"),
)
NUMBERS = (Feature("a"), Feature("b"), Feature("n", "integer"))


def broken(rule, *instances, features=FEATURES):
    """Return which of some rows break a rule."""
    about = card(*features)
    book = Rulebook(features, (Rule("r", rule),))
    rows = RowReader(about).read([list(instance) for instance in instances])
    with quiet():
        return book.broken(book.rules[0], Columns(rows, book.indices)).tolist()


def row(**values):
    """Return a row with these values and ordinary others."""
    whole = {"a": 1, "b": 2, "n": 3, "flag": True, "kind": "x", "note": "hello"} | values
    return tuple(whole[feature.name] for feature in FEATURES)


@pytest.mark.parametrize(
    ("rule", "values", "is_broken"),
    [
        ("a <= b", {}, False),
        ("a <= b", {"a": 2}, False),
        ("a <= b", {"a": 2.1}, True),
        ("a <= b", {"a": None}, False),
        ("a < b", {"a": 2}, True),
        ("a >= b", {}, True),
        ("a > b", {"a": 3}, False),
        ("a + b == n", {}, False),
        ("a + b == n", {"a": 1.0000001}, True),
        ("a + b == n within 0.001", {"a": 1.0000001}, False),
        ("a == b within 50%", {}, False),
        ("a == b within 49%", {}, True),
        ("a != b within 1", {}, True),
        ("a != b within 0.5", {}, False),
        ("2 * a * n - b == 4", {}, False),
        ("length(note) <= 5", {}, False),
        ("length(note) <= 4", {}, True),
        ("length(note) <= 4", {"note": None}, False),
        ("length(kind) == 1", {}, False),
        ("kind == \"y\"", {}, True),
        ("kind != \"y\"", {}, False),
        ("kind == \"y\"", {"kind": None}, False),
        ("kind in [\"x\", \"y\"]", {}, False),
        ("note not in [\"hello\"]", {}, True),
        ("flag == true", {}, False),
        ("flag == true", {"flag": False}, True),
        ("flag != true", {"flag": None}, False),
        ("n in [1, 2, 3]", {}, False),
        ("n in [1, 2]", {}, True),
        ("n not in [3]", {}, True),
        ("a present", {}, False),
        ("a present", {"a": None}, True),
        ("note missing", {}, True),
        ("note missing", {"note": None}, False),
        ("kind present", {"kind": None}, True),
        ("flag missing", {"flag": None}, False),
        ("a < 2 and b < 2", {}, True),
        ("a < 2 or b < 2", {}, False),
        ("a < 2 and b < 9", {"a": None}, False),
        ("a < 2 and b < 2", {"a": None}, True),
        ("a < 2 or b < 2", {"a": None}, False),
        ("a < 0 or b < 0", {}, True),
        ("if kind == \"x\" then note present", {}, False),
        ("if kind == \"x\" then note present", {"note": None}, True),
        ("if kind == \"x\" then note present", {"note": None, "kind": "y"}, False),
        ("if kind == \"x\" then note present", {"note": None, "kind": None}, False),
        ("if kind == \"x\" then a < 0", {"a": None}, False),
        ("if a < b then flag == false and n == 3", {}, True),
    ],
)  # fmt: skip
def test_a_rule_is_broken_where_it_is_known_to_be(rule, values, is_broken):
    """What is missing is neither true nor false."""
    assert broken(rule, row(**values)) == [is_broken]
    assert broken(rule, row(**values), row(**values)) == [is_broken] * 2


@pytest.mark.parametrize(
    "rule",
    ["a + b <= 1e308", "a * b < 5", "a + b == a + b", "a * b - a * b == 0",
     "a * b != 5"],
)  # fmt: skip
def test_attack_what_overflows_is_broken_and_never_passed(rule):
    """A rule that could not be computed was not kept; and nothing warns."""
    assert broken(rule, (1e308, 1e308, 1), features=NUMBERS) == [True]


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False) | st.none(),
            st.floats(-10, 10) | st.none(),
            st.integers(-5, 5),
            st.booleans() | st.none(),
            st.sampled_from(["x", "y", None]),
            st.text(max_size=4) | st.none(),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["<=", "<", ">=", ">", "==", "!="]),
    st.floats(-3, 3),
    st.floats(0, 3),
)
def test_whole_columns_say_what_one_row_at_a_time_would_say(rows, sign, number, within):
    """Against plain Python, for every comparison, with what is missing left out."""
    slack = f" within {within:.3f}" if sign in ("==", "!=") else ""
    factor, within = f"{abs(number):.3f}", float(f"{within:.3f}")
    found = broken(f"a + {factor} * b {sign} n{slack}", *rows)

    for (a, b, n, *_), said in zip(rows, found, strict=True):
        if a is None or b is None:
            assert said is False
            continue
        left = a + float(factor) * b
        held = {
            "<=": left <= n, "<": left < n, ">=": left >= n, ">": left > n,
            "==": abs(left - n) <= within, "!=": abs(left - n) > within,
        }[sign] and math.isfinite(left)  # fmt: skip
        assert said is not held


@pytest.mark.parametrize("container", ["array", "frame"])
def test_frames_and_objects_are_asked_alike(container):
    """A model that picks its columns by name has the same rules."""
    about = card(*FEATURES, container=container)
    book = Rulebook(FEATURES, (Rule("r", 'if kind == "x" then length(note) < 3 and a < 1'),))
    rows = RowReader(about).read([list(row()), list(row(note="h", a=0)), list(row(kind=None))])

    assert book.broken(book.rules[0], Columns(rows, book.indices)).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("rule", "action", "complaint"),
    [
        ("1 < 2", "refuse", "no feature"),
        ("5 < 3 and a < 1", "refuse", "two numbers"),
        ("c < 1", "refuse", "no feature 'c'"),
        ("kind < 1", "refuse", "has no amount"),
        ("flag + a < 1", "refuse", "has no amount"),
        ("length(a) < 1", "refuse", "has no length"),
        ('a == "x"', "refuse", "never 'x'"),
        ("kind in [1]", "refuse", "never 1.0"),
        ('flag == "true"', "refuse", "never 'true'"),
        ("n in [true]", "refuse", "never True"),
        ('kind == "z"', "refuse", "not a category"),
        ("a in range", "refuse", "no range"),
        ("flag in range", "flag", "no range"),
        ("a < 1", "clip", "clipped"),
        ("a <= b", "clip", "clipped"),
        ("if a <= 1 then b <= 1", "clip", "clipped"),
        ("a missing", "clip", "clipped"),
        ("length(note) >= 1", "clip", "clipped"),
        ("n <= 2.5", "clip", "whole"),
        ("length(note) <= 2.5", "clip", "whole"),
        ("length(note) <= -1", "clip", "whole"),
    ],
)
def test_a_rule_that_does_not_fit_the_features_is_refused_in_words(rule, action, complaint):
    """At sealing, not at a request."""
    with pytest.raises(RuleError, match=complaint):
        bind(Rule("r", rule, action), FEATURES)


@pytest.mark.parametrize("rule", ["a <= 5", "n >= 2", "length(note) <= 0", "n in range"])
def test_a_bound_and_a_range_can_be_clipped(rule):
    """They have a nearest value."""
    assert bind(Rule("r", rule, "clip"), FEATURES).column is not None


def test_a_rule_of_several_features_has_no_column_of_its_own():
    """Its place is the row."""
    assert bind(Rule("r", "a < b"), FEATURES).column is None
    assert bind(Rule("r", "b < 1 or b missing"), FEATURES).column == 1


def test_a_column_is_converted_once():
    """However many rules ask."""
    columns = Columns(np.array([[1.0, 2.0]]), {"a": 0, "b": 1})
    from plugins.input_rules.rule import Operand

    assert columns.numbers(Operand("b")) is columns.numbers(Operand("b"))
