"""The file of rules that sealing takes, and the table that must keep them.

A rule that the model's own training data breaks is a rule that nobody meant: it would refuse
the questions the model knows best.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Feature
from secureml.models.rule import ACTIONS, InRange, Rule, RuleError
from secureml.models.rules.rulebook import Columns, Rulebook, bind, quiet

_KEYS = frozenset({"name", "rule", "action"})
FILE_LIMIT = 256 * 1024


def read_rules(path: Path | None) -> tuple[Rule, ...]:
    """Read ``[[rules]]`` tables of name, rule and action; raises ModelRefused("card")."""
    if path is None:
        return ()
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise _refuse(f"the file of rules is larger than {FILE_LIMIT} bytes")
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _refuse(f"the file of rules cannot be read ({error})") from None
    tables = raw.get("rules")
    if set(raw) != {"rules"} or not isinstance(tables, list) or not tables:
        raise _refuse("the file of rules holds something else than [[rules]] tables")
    return tuple(_rule(number, table) for number, table in enumerate(tables, 1))


def _rule(number: int, table: Any) -> Rule:
    if not isinstance(table, dict) or not {"name", "rule"} <= set(table) <= _KEYS:
        raise _refuse(f"rule {number} has other keys than name, rule and action")
    if any(type(value) is not str for value in table.values()):
        raise _refuse(f"rule {number} has a value that is no text")
    if table.get("action", "refuse") not in ACTIONS:
        raise _refuse(f"the action of rule {number} is none of {', '.join(ACTIONS)}")
    return Rule(**table)


def check_table(
    rules: tuple[Rule, ...], features: tuple[Feature, ...], columns: dict[str, list[Any]]
) -> None:
    """Refuse rules that do not fit the features, or would refuse rows of the table.

    ``columns`` holds each feature's values, None where missing; empty without a table.
    """
    book = Rulebook(features, rules)
    for rule in book.rules if columns else ():
        if rule.action != "refuse" or isinstance(rule.parsed, InRange):
            continue
        with quiet():
            broken = book.broken(rule, _Table(columns))
        if broken.any():
            raise _refuse(
                f"the rule {rule.name} is broken by {np.count_nonzero(broken)} of the "
                f"{broken.size} rows of the table",
                'correct it, or have it flag: action = "flag"',
            )


class _Table(Columns):
    """Columns as learned from a table."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        super().__init__(None, {})
        self._learned = columns

    def objects(self, name: str) -> np.ndarray[Any, Any]:
        """Return a column with NaN where the table had nothing."""
        cells = [np.nan if cell is None else cell for cell in self._learned[name]]
        return np.array(cells, dtype=object)


def check_rules(rules: tuple[Rule, ...], features: tuple[Feature, ...]) -> None:
    """Refuse rules that cannot be read, or do not fit the features: ModelRefused("card")."""
    for rule in rules:
        try:
            bind(rule, features)
        except RuleError as error:
            raise _refuse(f"the rule {rule.name} is none: {error}") from None


def _refuse(message: str, fix: str = "correct it and seal again") -> ModelRefused:
    return ModelRefused("card", message, fix)
