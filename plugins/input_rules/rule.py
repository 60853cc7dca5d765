"""What a rule of a card is made of: plain data, so that nothing in it can be run.

`rules.parser` reads these from a rule's text, `rules.rulebook` evaluates them on rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Action = Literal["refuse", "clip", "flag"]
ACTIONS = ("refuse", "clip", "flag")
Value = str | float | bool


class RuleError(ValueError):
    """A text that is no rule, or none for these features; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as a card keeps it: its name, its text, and what happens where it is broken."""

    name: str
    rule: str
    action: Action = "refuse"


class Operand(NamedTuple):
    """A feature's value, or the length of its text in characters."""

    feature: str
    length: bool = False


class Term(NamedTuple):
    """A number times some operands; none of them makes it a constant."""

    factor: float
    operands: tuple[Operand, ...] = ()


Sum = tuple[Term, ...]


class Compare(NamedTuple):
    """Two sums; ``within`` is how far apart equals may be, as a share where ``relative``."""

    left: Sum
    sign: str
    right: Sum
    within: float = 0.0
    relative: bool = False


class Member(NamedTuple):
    """A feature that is one of some values, or none of them where ``negated``."""

    feature: str
    values: tuple[Value, ...]
    negated: bool = False


class Presence(NamedTuple):
    """A feature that has a value, or has none."""

    feature: str
    present: bool


Test = Compare | Member | Presence


class Condition(NamedTuple):
    """Tests of which all must hold (``and``), or one (``or``)."""

    joint: str
    tests: tuple[Test, ...]


class IfThen(NamedTuple):
    """``then`` must hold wherever ``when`` does."""

    when: Condition
    then: Condition


class InRange(NamedTuple):
    """A feature within the range seen in training, and the operator's margin."""

    feature: str


Parsed = Condition | IfThen | InRange


class Bound(NamedTuple):
    """The one kind of rule a value can be clipped to: a value or a length, and a number."""

    operand: Operand
    sign: str
    limit: float


def bound_of(parsed: Parsed) -> Bound | None:
    """Return the bound a rule is, or None where it is more than one value against a number."""
    if not isinstance(parsed, Condition) or len(parsed.tests) != 1:
        return None
    test = parsed.tests[0]
    if not isinstance(test, Compare) or test.sign not in ("<=", ">="):
        return None
    left, sign, right = test.left, test.sign, test.right
    if not left[0].operands:
        left, sign, right = right, "<=" if sign == ">=" else ">=", left
    if len(left) != 1 or len(right) != 1 or right[0].operands or left[0].factor != 1:
        return None
    operands = left[0].operands
    return Bound(operands[0], sign, right[0].factor) if len(operands) == 1 else None


def tests_of(parsed: Parsed) -> Iterator[Test]:
    """Return every test of a rule."""
    conditions = (
        [parsed.when, parsed.then]
        if isinstance(parsed, IfThen)
        else [parsed]
        if isinstance(parsed, Condition)
        else []
    )
    for condition in conditions:
        yield from condition.tests


def operands_of(test: Compare) -> Iterator[Operand]:
    """Return every value and length that a comparison needs."""
    for term in (*test.left, *test.right):
        yield from term.operands


def features_of(parsed: Parsed) -> list[str]:
    """Return the names of the features that a rule speaks of, each once."""
    if isinstance(parsed, InRange):
        return [parsed.feature]
    names = []
    for test in tests_of(parsed):
        if isinstance(test, Compare):
            names += [operand.feature for operand in operands_of(test)]
        else:
            names.append(test.feature)
    return list(dict.fromkeys(names))
