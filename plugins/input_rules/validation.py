"""Rows held to everything a card says of them: what is refused, clipped and flagged.

The order is part of the promise: text is cleaned and cut, values are clipped to the card's
bounds and then to the range of training, and only then are the remaining rules asked, of the
very rows the model will see. Nothing that was sent is in what is returned, only places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from secureml.kit.protocols import Card

from .ranges import LIMIT, Ranges, Rows, path_of
from .rule import Action, Bound, InRange
from .rule_file import rules_of
from .rulebook import BoundRule, Columns, Rulebook, quiet
from .text import clean, too_long, unclean

Fault = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ValidationPolicy:
    """What an operator says for all models; a card's own rules go before it.

    ``margin`` is a share of each range, ``text_length`` counts characters.
    """

    margin: float = 0.1
    ranges: Action = "refuse"
    text_length: int = 4096
    long_text: Action = "refuse"
    control_characters: Action = "clip"


@dataclass(slots=True)
class ValidationReport:
    """What was found: for each action at most twenty (path, rule), and how many there were.

    ``rows`` are those the model should see; the ones that were asked about where nothing was
    clipped, a copy otherwise.
    """

    rows: Any
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, action: str, faults: list[Fault], count: int) -> None:
        """Keep what was found, in its order, up to twenty."""
        kept = self.faults.setdefault(action, [])
        kept += faults[: LIMIT - len(kept)]
        self.counts[action] = self.counts.get(action, 0) + count


class InputValidator:
    """Holds rows to one card; built once a model, safe for many threads."""

    def __init__(self, card: Card, policy: ValidationPolicy) -> None:
        self._book = Rulebook(card.features, rules_of(card))
        own = {rule.parsed.feature: rule.action for rule in self._book.rules
               if isinstance(rule.parsed, InRange)}  # fmt: skip
        self._ranges = Ranges(card, policy.margin, policy.ranges, own)
        rules = [rule for rule in self._book.rules if not isinstance(rule.parsed, InRange)]
        self._clips = [rule for rule in rules if rule.action == "clip"]
        self._asks = [rule for rule in rules if rule.action != "clip"]
        self._texts = [
            i
            for i, feature in enumerate(card.features)
            if feature.dtype == "text" or feature.unknown == "allow"
        ]
        self._names = [feature.name for feature in card.features]
        self._whole = frozenset(
            place
            for place, feature in enumerate(card.features)
            if card.keeps_integers and feature.dtype == "integer" and feature.missing == "refuse"
        )
        self._policy = policy

    def validate(self, rows: Any, instances: Sequence[Any]) -> ValidationReport:
        """Return what the card says of rows that were read from these instances."""
        work = _Pass(ValidationReport(rows), instances, self._names, self._whole)
        if self._texts:
            self._validate_texts(work)
        for rule in self._clips:
            self._clip(rule, work)
        beyond = self._ranges.beyond(work.report.rows)
        if beyond is not None:
            self._validate_ranges(beyond, work)
        if self._asks:
            columns = Columns(work.report.rows, self._book.indices)
            with quiet():
                for rule in self._asks:
                    broken = self._book.broken(rule, columns)
                    if broken.any():
                        indices = np.flatnonzero(broken).tolist()
                        work.report_broken(rule.action, f"rule:{rule.name}", indices, rule.column)
        return work.report

    def _validate_texts(self, work: _Pass) -> None:
        for column in self._texts:
            cells = work.objects(column)
            found = unclean(cells)
            if found:
                action = self._policy.control_characters
                work.report_broken(action, "control_characters", found, column)
                if action == "clip":
                    cells = work.replace_cells(column, found, [clean(cells[row]) for row in found])
            limit = self._policy.text_length
            if long := too_long(cells, limit):
                work.report_broken(self._policy.long_text, "text_length", long, column)
                if self._policy.long_text == "clip":
                    work.replace_cells(column, long, [cells[row][:limit] for row in long])

    def _clip(self, rule: BoundRule, work: _Pass) -> None:
        columns = Columns(work.report.rows, self._book.indices)
        with quiet():
            broken = np.flatnonzero(self._book.broken(rule, columns)).tolist()
        if not broken or rule.bound is None or rule.column is None:
            return
        work.report_broken("clip", f"rule:{rule.name}", broken, rule.column)
        cells = work.objects(rule.column)
        work.replace_cells(rule.column, broken, [_within(rule.bound, cells[row]) for row in broken])

    def _validate_ranges(self, beyond: tuple[Rows, Rows], work: _Pass) -> None:
        report = work.report
        for action, indices in self._ranges.by_action(beyond):
            faults = self._ranges.faults_at(indices, beyond[0], work.instances)
            report.add(action, faults, len(indices))
        for column, values in self._ranges.clipped(report.rows, *beyond):
            if column in self._whole:
                # Cell by cell: a column of floats would round what was not clipped.
                before = np.asarray(work.objects(column), dtype=np.float64)
                changed = np.flatnonzero(values != before).tolist()
                work.replace_cells(column, changed, [int(values[row]) for row in changed])
            else:
                work.replace(column, values)


def _within(bound: Bound, cell: Any) -> Any:
    return cell[: int(bound.limit)] if bound.operand.length else bound.limit


class _Pass:
    """Rows being validated: the caller's own until something must change in them."""

    def __init__(
        self,
        report: ValidationReport,
        instances: Sequence[Any],
        names: list[str],
        whole: frozenset[int],
    ) -> None:
        self.report, self.instances, self._names, self._whole = report, instances, names, whole
        self._copied = False

    def report_broken(self, action: str, rule: str, rows: list[int], column: int | None) -> None:
        """Add what a rule found, by row."""
        paths = [path_of(self.instances, row, column, self._names) for row in rows[:LIMIT]]
        self.report.add(action, [(path, rule) for path in paths], len(rows))

    def objects(self, column: int) -> Rows:
        """Return a column as it is now."""
        rows = self.report.rows
        if isinstance(rows, np.ndarray):
            return rows[:, column]
        return np.asarray(rows.iloc[:, column], dtype=object)

    def replace_cells(self, column: int, rows: list[int], values: list[Any]) -> Rows:
        """Change some cells of a column, and return it."""
        cells = self.objects(column).copy()
        for row, value in zip(rows, values, strict=True):
            cells[row] = value
        self.replace(column, cells)
        return cells

    def replace(self, column: int, values: Rows) -> None:
        """Put a column in place of another, in a copy of the rows."""
        if not self._copied:
            self.report.rows, self._copied = self.report.rows.copy(), True
        rows = self.report.rows
        if column in self._whole:
            # What they are clipped to is whole, too: 3, and not 3.0.
            values = values.astype(np.int64)
        if isinstance(rows, np.ndarray):
            rows[:, column] = values
        else:
            # Through a copy of the column: pandas would otherwise choose a dtype of its own.
            series = rows.iloc[:, column].copy()
            series.iloc[:] = values
            rows[self._names[column]] = series
