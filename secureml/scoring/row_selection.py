"""Which rows of a chunk the model may be asked, by the card and by the rules of plugins.

Whole columns are checked at once. Where one disagrees, halves of the rows are, and halves of
those, until a few rows are left, which the API's own reader looks at one by one: what it says of
a row alone is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from secureml.models.card import Card
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import Fault, RowsRefused
from secureml.scoring.chunk_table import ChunkTable
from secureml.scoring.refused import RowNote
from secureml.scoring.rules import RowRules

_FEW = 8
_DONE = {"clip": "clipped", "flag": "flagged"}
Faults = dict[int, list[Fault]]


class Selection(NamedTuple):
    """Rows as the model takes them, where each stands in the table, and what is said of others."""

    rows: Any
    indices: list[int]
    notes: list[RowNote]


class RowSelector:
    """Selects rows by one card; ``each_note`` has clipped and flagged cells told one by one."""

    def __init__(self, card: Card, rules: Sequence[RowRules], *, each_note: bool) -> None:
        self._reader, self._rules, self._each = RowReader(card), rules, each_note
        self._names = [feature.name for feature in card.features]
        self.counts: dict[str, int] = {}

    def select(self, table: ChunkTable) -> Selection:
        """Return the rows that break no rule, and a note of each that does."""
        self.counts = {}
        notes = [RowNote(place, "", code, "refused") for place, code in table.malformed]
        length = len(table.places)
        if not length:
            return Selection(None, [], notes)
        rows, faults = self._read(table, length)
        indices = [row for row in range(length) if row not in faults]
        notes += _notes(faults, table.places)
        for rules in self._rules if indices else ():
            rows, indices, more = self._keep(rules, rows, indices, table.places)
            notes += more
        return Selection(rows, indices, notes)

    def _read(self, table: ChunkTable, length: int) -> tuple[Any, Faults]:
        numbers = table.numbers() if self._reader.takes_numbers else None
        rows = None if numbers is None else self._reader.read_numbers(numbers)
        if rows is not None:
            return rows, {}
        cells = table.cells()
        rows = self._reader.read_columns(cells)
        if rows is not None:
            return rows, {}
        faults: Faults = {}

        def fits(first: int, last: int) -> bool:
            part = [column[first:last] for column in cells]
            return self._reader.read_columns(part) is not None

        def look(row: int) -> None:
            try:
                self._reader.read([self._instance(cells, row)])
            except RowsRefused as refused:
                faults[row] = refused.faults

        search(0, length, fits, look)
        return self._read_good(cells, [row for row in range(length) if row not in faults]), faults

    def _read_good(self, cells: list[list[Any]], good: list[int]) -> Any:
        if not good:
            return None
        rows = self._reader.read_columns([[column[row] for row in good] for column in cells])
        if rows is None:  # columns are a little stricter than rows, of numbers beyond 64 bits
            rows = self._reader.read([self._instance(cells, row) for row in good])
        return rows

    def _instance(self, cells: list[list[Any]], row: int) -> dict[str, Any]:
        return {name: column[row] for name, column in zip(self._names, cells, strict=True)}

    def _keep(
        self, rules: RowRules, rows: Any, indices: list[int], places: Sequence[int]
    ) -> tuple[Any, list[int], list[RowNote]]:
        report = rules.validate(rows, _named(len(indices)))
        notes: list[RowNote] = []
        if report.faults.get("refuse"):
            refused = self._broken(rules, rows, "refuse")
            notes += _notes({indices[row]: found for row, found in refused.items()}, places)
            good = [row for row in range(len(indices)) if row not in refused]
            indices = [indices[row] for row in good]
            if not good:
                return None, [], notes
            rows = taken(rows, good)
            report = rules.validate(rows, _named(len(indices)))
        for action, done in _DONE.items():
            if not report.faults.get(action):
                continue
            self._count(done, report.faults[action], report.counts[action])
            if self._each:
                found = self._broken(rules, rows, action)
                at = {indices[row]: each for row, each in found.items()}
                notes += _notes(at, places, done)
        return report.rows, indices, notes

    def _count(self, done: str, faults: list[Fault], count: int) -> None:
        codes = ",".join(sorted({code for _, code in faults}))
        self.counts[f"{done} {codes}"] = self.counts.get(f"{done} {codes}", 0) + count

    def _broken(self, rules: RowRules, rows: Any, action: str) -> Faults:
        """Return every row that a rule of this action is broken by; `validate` names a few."""
        found: Faults = {}

        def check(first: int, last: int) -> list[Fault] | None:
            part = rules.validate(taken(rows, slice(first, last)), _named(last - first))
            return part.faults.get(action)

        def look(row: int) -> None:
            faults = check(row, row + 1)
            if faults:
                found[row] = faults

        search(0, len(rows), lambda first, last: not check(first, last), look)
        return found


def search(
    first: int, last: int, fits: Callable[[int, int], bool], look: Callable[[int], None]
) -> None:
    """Call ``look`` with each row of the parts that do not fit, of ever smaller parts."""
    if last - first <= _FEW:
        for row in range(first, last):
            look(row)
        return
    if fits(first, last):
        return
    middle = (first + last) // 2
    search(first, middle, fits, look)
    search(middle, last, fits, look)


def taken(rows: Any, chosen: list[int] | slice) -> Any:
    """Return some rows of an array or of a frame, numbered anew."""
    if isinstance(rows, np.ndarray):
        return rows[chosen]
    return rows.iloc[chosen].reset_index(drop=True)


def _named(length: int) -> list[dict[str, Any]]:
    """Return what instances with names look like to whom writes the path of a fault."""
    return [{}] * length


def _notes(faults: Faults, places: Sequence[int], done: str = "refused") -> list[RowNote]:
    return [
        RowNote(places[row], _column(path), code, done)
        for row, found in sorted(faults.items())
        for path, code in found
    ]


def _column(path: str) -> str:
    """Return the column that a path such as /instances/0/mean radius ends with, "" for none."""
    label = path.split("/", 3)[3:]
    return label[0].replace("~1", "/").replace("~0", "~") if label else ""
