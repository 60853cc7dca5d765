"""A card's rules asked of rows, whole columns at a time.

A test about a value that is missing is neither true nor false, as in SQL's CHECK: a rule is
broken only where it is known to be. `present` and `missing` always know. What cannot be
computed (an overflow) counts as broken, because a rule that was not checked must not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from secureml.kit.protocols import Feature

from .parser import parse
from .rule import (
    Action,
    Bound,
    Compare,
    Condition,
    IfThen,
    InRange,
    Member,
    Operand,
    Parsed,
    Presence,
    Rule,
    RuleError,
    Sum,
    Test,
    bound_of,
    features_of,
    operands_of,
    tests_of,
)

Array = np.ndarray[Any, Any]
Truth = tuple[Array, Array]  # where it is known to hold, and where it is known not to


class Columns:
    """Rows by column, each converted once: numbers with NaN where missing, or objects."""

    def __init__(self, rows: Any, indices: dict[str, int]) -> None:
        self._rows, self._indices = rows, indices
        self._numbers: dict[Operand, Array] = {}

    def objects(self, name: str) -> Array:
        """Return a column as it is: text, with something that is no text where missing."""
        index = self._indices[name]
        if isinstance(self._rows, np.ndarray):
            return self._rows[:, index]
        return np.asarray(self._rows.iloc[:, index], dtype=object)

    def numbers(self, operand: Operand) -> Array:
        """Return the values, or the lengths, as float64."""
        values = self._numbers.get(operand)
        if values is None:
            column = self.objects(operand.feature)
            if operand.length:
                column = np.array([_length(cell) for cell in column])
            values = self._numbers[operand] = np.asarray(column, dtype=np.float64)
        return values


def _length(cell: Any) -> float:
    return len(cell) if type(cell) is str else np.nan


class BoundRule(NamedTuple):
    """A rule read and found to fit its card."""

    name: str
    action: Action
    parsed: Parsed
    bound: Bound | None
    column: int | None  # where the rule speaks of one feature alone


def quiet() -> np.errstate:
    """Return what keeps NumPy from warning about an overflow; a microsecond to enter."""
    return np.errstate(all="ignore")


class Rulebook:
    """The rules of one card; built once, safe for many threads."""

    def __init__(self, features: Sequence[Feature], rules: Sequence[Rule]) -> None:
        self.indices = {feature.name: index for index, feature in enumerate(features)}
        self._numeric = {feature.name for feature in features if feature.is_number}
        self._missing = frozenset(f.name for f in features if f.missing == "allow")
        self.rules = [bind(rule, features) for rule in rules]

    def broken(self, rule: BoundRule, columns: Columns) -> Array:
        """Return where a rule is known to be broken, one truth a row.

        Overflows are looked for and should not warn: call it within ``quiet``.
        """
        if isinstance(rule.parsed, IfThen):
            held, _ = self._condition(rule.parsed.when, columns)
            return held & self._condition(rule.parsed.then, columns)[1]
        if isinstance(rule.parsed, InRange):
            raise TypeError("a range is asked of Ranges")
        return self._condition(rule.parsed, columns)[1]

    def _condition(self, condition: Condition, columns: Columns) -> Truth:
        held, broken = self._test(condition.tests[0], columns)
        for test in condition.tests[1:]:
            more = self._test(test, columns)
            if condition.joint == "and":
                held, broken = held & more[0], broken | more[1]
            else:
                held, broken = held | more[0], broken & more[1]
        return held, broken

    def _test(self, test: Test, columns: Columns) -> Truth:
        if isinstance(test, Compare):
            return _compare(test, columns, self._missing)
        known = self._known(test.feature, columns)
        if isinstance(test, Presence):
            return (known, ~known) if test.present else (~known, known)
        inside = self._member(test, columns)
        held = ~inside if test.negated else inside
        return held & known, ~held & known

    def _known(self, name: str, columns: Columns) -> Array:
        if name in self._numeric:
            return ~np.isnan(columns.numbers(Operand(name)))
        # Missing text is a NaN among strings.
        return np.array([type(cell) is str for cell in columns.objects(name)])

    def _member(self, test: Member, columns: Columns) -> Array:
        if test.feature in self._numeric:
            return np.isin(columns.numbers(Operand(test.feature)), np.array(test.values, float))
        known = frozenset(test.values)
        return np.array([cell in known for cell in columns.objects(test.feature)])


def _compare(test: Compare, columns: Columns, missing: frozenset[str]) -> Truth:
    left, right = _sum(test.left, columns), _sum(test.right, columns)
    held = _COMPARE[test.sign](left, right, _slack(test, left, right))
    # Infinities are only ever an overflow here, and would compare as equals.
    for side in (left, right):
        if type(side) is not float:
            held = held & np.isfinite(side)
    broken = ~held
    for operand in operands_of(test):
        if operand.feature in missing:
            known = ~np.isnan(columns.numbers(operand))
            held, broken = held & known, broken & known
    return held, broken


def _sum(terms: Sum, columns: Columns) -> Any:
    """Return an array, or a float where no feature is in it."""
    total: Any = None
    for factor, operands in terms:
        product: Any = factor if factor != 1 or not operands else None
        for operand in operands:
            values = columns.numbers(operand)
            product = values if product is None else product * values
        total = product if total is None else total + product
    return total


def _slack(test: Compare, left: Any, right: Any) -> Any:
    if not test.relative:
        return test.within
    return test.within * np.maximum(np.abs(left), np.abs(right))


_COMPARE: dict[str, Callable[[Any, Any, Any], Array]] = {
    "<=": lambda left, right, _: left <= right,
    ">=": lambda left, right, _: left >= right,
    "<": lambda left, right, _: left < right,
    ">": lambda left, right, _: left > right,
    "==": lambda left, right, slack: np.abs(left - right) <= slack,
    "!=": lambda left, right, slack: np.abs(left - right) > slack,
}


def bind(rule: Rule, features: Sequence[Feature]) -> BoundRule:
    """Read a rule and hold it to the features; raises RuleError."""
    parsed = parse(rule.rule)
    known = {feature.name: feature for feature in features}
    names = features_of(parsed)
    if not names:
        raise RuleError("it speaks of no feature")
    for name in names:
        if name not in known:
            raise RuleError(f"the model has no feature {name!r}")
    for complaint in _complaints(parsed, known):
        raise RuleError(complaint)
    bound = bound_of(parsed)
    if rule.action == "clip":
        _check_clip(parsed, bound, known)
    index = list(known).index(names[0]) if len(names) == 1 else None
    return BoundRule(rule.name, rule.action, parsed, bound, index)


def _check_clip(parsed: Parsed, bound: Bound | None, known: dict[str, Feature]) -> None:
    if isinstance(parsed, InRange):
        return
    if bound is None or (bound.operand.length and bound.sign == ">="):
        raise RuleError("only `feature in range` and a feature's bound (<= or >=) can be clipped")
    whole = known[bound.operand.feature].dtype == "integer" or bound.operand.length
    if whole and (not bound.limit.is_integer() or (bound.limit < 0 and bound.operand.length)):
        raise RuleError("a whole number cannot be clipped to a broken one")


def _complaints(parsed: Parsed, known: dict[str, Feature]) -> Iterator[str]:
    """Yield what does not fit, in words."""
    if isinstance(parsed, InRange) and known[parsed.feature].minimum is None:
        yield f"no range of {parsed.feature!r} is known"
    for test in tests_of(parsed):
        if isinstance(test, Compare):
            if not any(operands_of(test)):
                yield "two numbers compare alike for every row"
            for name, length in operands_of(test):
                dtype = known[name].dtype
                if dtype not in (("text", "category") if length else ("float", "integer")):
                    yield f"{name!r} is {dtype} and has no {'length' if length else 'amount'}"
        elif isinstance(test, Member):
            yield from _unknown_columns(test, known[test.feature])


def _unknown_columns(test: Member, feature: Feature) -> Iterator[str]:
    # Of dates there is no word in the language.
    kinds = {"boolean": bool, "float": float, "integer": float, "date": type(None)}
    kind = kinds.get(feature.dtype, str)
    for value in test.values:
        if type(value) is not kind:
            yield f"{feature.name!r} is {feature.dtype} and never {value!r}"
        elif feature.categories is not None and value not in feature.categories:
            yield f"{value!r} is not a category of {feature.name!r}"
