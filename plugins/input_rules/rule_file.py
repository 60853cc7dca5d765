"""The file of rules that sealing takes, and the table that must keep them.

A rule that the model's own training data breaks is a rule that nobody meant: it would refuse
the questions the model knows best.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secureml.kit.protocols import Card, Feature

from .rule import ACTIONS, InRange, Rule, RuleError
from .rulebook import Columns, Rulebook, bind, quiet

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KEYS = frozenset({"name", "rule", "action"})
FILE_LIMIT = 256 * 1024
RULE_LIMIT = 100
SECTION = "input_rules"


def rules_of(card: Card) -> tuple[Rule, ...]:
    """Return the rules on a card."""
    section = card.sections.get(SECTION)
    return () if section is None else rules_in(section.public)


def rules_in(section: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return the rules of a section, ``{"rules": [...]}``; raises RuleError."""
    rules = tuple(read_rule(number, table) for number, table in enumerate(section["rules"], 1))
    if len({rule.name for rule in rules}) < len(rules):
        raise RuleError("two rules have the same name")
    if len(rules) > RULE_LIMIT:
        raise RuleError(f"there are more than {RULE_LIMIT} rules")
    return rules


def read_rules(path: Path | None) -> tuple[Rule, ...]:
    """Read ``[[rules]]`` tables of name, rule and action; raises RuleError."""
    if path is None:
        return ()
    try:
        size = path.stat().st_size
        raw = tomllib.loads(path.read_text("utf-8")) if size <= FILE_LIMIT else {}
    except (OSError, ValueError, RecursionError) as error:
        raise RuleError(f"the file of rules cannot be read ({error})") from None
    if size > FILE_LIMIT:
        raise RuleError(f"the file of rules is larger than {FILE_LIMIT} bytes")
    tables = raw.get("rules")
    if set(raw) != {"rules"} or not isinstance(tables, list) or not tables:
        raise RuleError("the file of rules holds something else than [[rules]] tables")
    return rules_in(raw)


def read_rule(number: int, table: Any) -> Rule:
    """Return a rule of name, rule and action; raises RuleError."""
    if not isinstance(table, dict) or not {"name", "rule"} <= set(table) <= _KEYS:
        raise RuleError(f"rule {number} has other keys than name, rule and action")
    if any(type(value) is not str for value in table.values()):
        raise RuleError(f"rule {number} has a value that is not text")
    if table.get("action", "refuse") not in ACTIONS:
        raise RuleError(f"the action of rule {number} is none of {', '.join(ACTIONS)}")
    if not _NAME.fullmatch(table["name"]):
        raise RuleError(f"the name of rule {number} is not lower-case letters, digits and _")
    return Rule(**table)


def check_table(
    rules: Sequence[Rule], features: Sequence[Feature], columns: Mapping[str, Sequence[Any]]
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
            raise RuleError(
                f"the rule {rule.name} is broken by {np.count_nonzero(broken)} of the "
                f"{broken.size} rows of the table; fix: correct it, or have it flag: "
                'action = "flag"'
            )


class _Table(Columns):
    """Columns as learned from a table."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        super().__init__(None, {})
        self._learned = columns

    def objects(self, name: str) -> np.ndarray[Any, Any]:
        """Return a column with NaN where the table had nothing."""
        cells = [np.nan if cell is None else cell for cell in self._learned[name]]
        return np.array(cells, dtype=object)


def check_rules(rules: Sequence[Rule], features: Sequence[Feature]) -> None:
    """Refuse rules that cannot be read, or do not fit the features: RuleError."""
    for rule in rules:
        try:
            bind(rule, features)
        except RuleError as error:
            raise RuleError(f"the rule {rule.name} is none: {error}") from None
