"""The language of rules: what is one, what is none, and that nothing in it can be run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.input_rules.parser import TEXT_LIMIT, parse
from plugins.input_rules.rule import (
    Bound,
    Compare,
    Condition,
    IfThen,
    InRange,
    Member,
    Operand,
    Presence,
    RuleError,
    Term,
    bound_of,
    features_of,
)

A, B, C = (Term(1, (Operand(name),)) for name in "abc")


def only(*tests, joint="and"):
    return Condition(joint, tests)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a <= b", only(Compare((A,), "<=", (B,)))),
        ("a+b==c", only(Compare((A, B), "==", (C,)))),
        ("a + b == c within 0.5", only(Compare((A, B), "==", (C,), 0.5))),
        ("a == c within 1%", only(Compare((A,), "==", (C,), 0.01, relative=True))),
        ("a - b != 3 within 1 %", only(Compare(
            (A, Term(-1, (Operand("b"),))), "!=", (Term(3),), 0.01, relative=True))),
        ("2 * a * b > -1e3", only(Compare(
            (Term(2, (Operand("a"), Operand("b"))),), ">", (Term(-1000),)))),
        ("length(`a b`) < 3", only(Compare((Term(1, (Operand("a b", length=True),)),), "<",
                                           (Term(3),)))),
        ("`if` present", only(Presence("if", present=True))),
        ("a missing", only(Presence("a", present=False))),
        ('a == "x y"', only(Member("a", ("x y",)))),
        ("a != false", only(Member("a", (False,), negated=True))),
        ('a in ["x", 1, -2.5, true]', only(Member("a", ("x", 1.0, -2.5, True)))),
        ('a not in ["x"]', only(Member("a", ("x",), negated=True))),
        ("a in range", InRange("a")),
        ("`mean radius` in range", InRange("mean radius")),
        ("a < 1 and b < 1 and c missing", only(
            Compare((A,), "<", (Term(1),)), Compare((B,), "<", (Term(1),)),
            Presence("c", present=False))),
        ("a present or b present", only(
            Presence("a", present=True), Presence("b", present=True), joint="or")),
        ('if a == "y" then b present', IfThen(
            only(Member("a", ("y",))), only(Presence("b", present=True)))),
        ("größe <= b", only(Compare((Term(1, (Operand("größe"),)),), "<=", (B,)))),
    ],
)  # fmt: skip
def test_a_rule_is_read_as_it_is_written(text, parsed):
    """Spaces or none."""
    assert parse(text) == parsed
    assert parse(f"  {text}\n") == parsed


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a", "a <", "<= b", "a <= b c", "a <= b <= c", "a = b", "a <= b;", "a <= (b)",
        "a <= b and", "if a < b", "if a < b then", "then a < b", "a < b or c < d and e < f",
        "a < b and c < d or e < f", "a / b < 1", "a ** 2 < 1", "-a < 1", "a in []", "a in [b]",
        "a in range and b < 1", "if a in range then b < 1", "not a < b", "a < b within 1",
        "a == b within", "a == b within c", "a == b within -1", "length(a", "length a < 1",
        "length() < 1", "`` < 1", "`a < 1", 'a == "x', 'a < "x"', "a < true", "1e999 < a",
        "1e300 * 1e300 * a < 1", "a.b < 1", "a[0] < 1", "a == 0x10", "a == 1_000", "a == \u0661",
        "__import__('os')", "a <= b if c else d", "lambda: a", "a := 1", "a < b # c", "a\x00 < b",
        "if if a < b then a < b then a < b", "((((((((a < b", "range < 1", "present present",
    ],
)  # fmt: skip
def test_attack_what_is_not_in_the_grammar_is_no_rule(text):
    """Least of all what would be code elsewhere."""
    with pytest.raises(RuleError):
        parse(text)


def test_the_longest_rule_is_read_and_one_character_more_is_not():
    """A rule is a line that a person reads."""
    rule = "a < 1".ljust(TEXT_LIMIT)
    assert parse(rule)
    with pytest.raises(RuleError, match="at most"):
        parse(f"{rule} ")


@given(st.text(alphabet='ab`"<=>!+-*%()[],.0 19eE ifthenandorpresentmissingwithinlengthrange'))
def test_attack_no_text_raises_anything_but_a_rule_error(text):
    """Whatever is sealed."""
    try:
        parsed = parse(text)
    except RuleError:
        return
    assert isinstance(features_of(parsed), list)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("a <= 5", Bound(Operand("a"), "<=", 5)),
        ("5 <= a", Bound(Operand("a"), ">=", 5)),
        ("5 >= length(a)", Bound(Operand("a", length=True), "<=", 5)),
        ("a < 5", None),
        ("a == 5", None),
        ("2 * a <= 5", None),
        ("a + 1 <= 5", None),
        ("a <= 5 + 1", None),
        ("a * a <= 5", None),
        ("a <= b", None),
        ("a <= 5 and b <= 5", None),
        ("if a <= 5 then a <= 4", None),
        ("a in range", None),
        ("a present", None),
        ("5 <= 6", None),
    ],
)
def test_only_one_value_against_one_number_is_a_bound(text, bound):
    """Anything else has no nearest value to clip to."""
    assert bound_of(parse(text)) == bound


def test_the_features_of_a_rule_are_named_once_each():
    """In the order they come."""
    assert features_of(parse("if b + a < b then length(c) < 3 and a missing")) == ["b", "a", "c"]
    assert features_of(parse("z in range")) == ["z"]
    assert features_of(parse("1 < 2")) == []
