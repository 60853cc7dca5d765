"""Features that only grow, such as a year, an id or the age of an account.

They are why every request may be refused after some day: the newest rows are at the end of what
training saw, and the range on the card ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from secureml.kit.protocols import Feature

from .parser import parse
from .rule import InRange, Rule, RuleError

_FEWEST = 20  # rows from which an order can be told
_NEWEST = 0.05  # the share of rows at the end of the table that are its newest
_NEAR = 0.9  # the quantile of all rows beyond which a value is near the maximum
_RISING = 0.9  # rank correlation of value and row from which a feature follows the order


def growing_notes(
    features: Sequence[Feature], columns: Mapping[str, Sequence[Any]], rules: Sequence[Rule]
) -> Iterator[str]:
    """Yield a line for each feature that grows along the table and that no rule is lenient with.

    ``columns`` are the values of the table, None where missing; {} without a table.
    """
    lenient = _lenient(rules)
    for feature in features if columns else ():
        if feature.name in lenient or feature.maximum is None:
            continue
        if grows(columns[feature.name]):
            name = feature.name if feature.name.isidentifier() else f"`{feature.name}`"
            yield (
                f"{feature.name!r} grows along the table, and its newest rows are at its maximum, "
                f"{feature.maximum:g}: if it keeps growing, requests will be above_maximum and "
                "refused. Seal again with newer rows in time, or give --rules with "
                f"""rule = "{name} in range", action = "flag" (or "clip"); """
                "range_margin of [plugins.input_rules] says how far beyond is still within"
            )


def grows(values: Sequence[Any]) -> bool:
    """Tell whether a column follows the order of its rows up to its maximum at their end."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(known) < _FEWEST or known.min() == known.max():
        return False
    newest = known[-max(2, round(len(known) * _NEWEST)) :]
    near = np.median(newest) >= np.quantile(known, _NEAR)
    # Ties share a rank, so that a year of many rows is one step.
    ranks = np.unique(known, return_inverse=True)[1].astype(np.float64)
    follows = np.corrcoef(ranks, np.arange(len(ranks)))[0, 1] >= _RISING
    never_falls = bool((np.diff(known) >= 0).all())
    return bool(near and (never_falls or follows))


def _lenient(rules: Sequence[Rule]) -> set[str]:
    """Return the features whose range refuses nothing, because a rule says so."""
    found = set()
    for rule in rules:
        try:
            parsed = parse(rule.rule)
        except RuleError:
            continue
        if isinstance(parsed, InRange) and rule.action != "refuse":
            found.add(parsed.feature)
    return found
