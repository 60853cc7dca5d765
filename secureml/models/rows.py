"""Instances as a client sends them, read into the rows a model takes.

Nothing is converted that a person would not call the same value: a string never becomes a
number, a bool neither, and null only where the card says a value may be missing.
On the request path: the ordinary case (all numbers, nothing missing) is a handful of C
calls; only when one of them disagrees is anything looked at cell by cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from .card import NUMBERS, Card
from .cells import LIMIT, CellReader, RowsRefused, escape

Rows = np.ndarray[Any, Any]
_ROW_KINDS = ({list}, {dict})
_NUMBER_TYPES = frozenset({int, float})


class RowReader:
    """Reads instances by a card; built once a model, safe for many threads."""

    def __init__(self, card: Card) -> None:
        names = tuple(feature.name for feature in card.features)
        self._width = len(names)
        self._pick: Callable[[Any], Sequence[Any]] = (
            itemgetter(*names) if len(names) > 1 else lambda instance: (instance[names[0]],)
        )
        self._whole = np.array(
            [i for i, feature in enumerate(card.features) if feature.dtype == "integer"],
            dtype=np.intp,
        )
        self._plain = (
            all(
                feature.dtype in ("float", "integer") and feature.missing == "refuse"
                for feature in card.features
            )
            and card.container == "array"
        )
        self._numeric = all(feature.dtype in NUMBERS for feature in card.features)
        self._cells = CellReader(card)
        self._frame = FrameMaker(card) if card.container == "frame" else None

    def read(self, instances: Any) -> Any:
        """Return the rows: a float64 array where all is numbers, else objects or a frame.

        Raises RowsRefused.
        """
        if self._plain and type(instances) is list and instances:
            rows = self._read_plain(instances)
            if rows is not None:
                return rows
        return self._build(self._cells.read(instances))

    def _read_plain(self, instances: list[Any]) -> Rows | None:
        """Return the rows when every one is as it should be, None when one is not."""
        kinds = set(map(type, instances))
        if kinds not in _ROW_KINDS or set(map(len, instances)) != {self._width}:
            return None
        try:
            if kinds == {dict}:
                return self._numbers(list(map(self._pick, instances)))
            return self._numbers(instances)
        except (KeyError, OverflowError):
            return None

    def _numbers(self, instances: list[Any]) -> Rows | None:
        cells = list(chain.from_iterable(instances))
        # An infinity or a NaN anywhere makes the sum one, too.
        if not _NUMBER_TYPES.issuperset(map(type, cells)) or not math.isfinite(sum(cells)):
            return None
        rows = np.array(cells, dtype=np.float64).reshape(len(instances), self._width)
        return rows if self._whole_enough(rows) else None

    def _whole_enough(self, rows: Rows) -> bool:
        if not self._whole.size:
            return True
        whole = rows[:, self._whole]
        return bool((whole == np.floor(whole)).all())

    def _build(self, values: list[list[Any]]) -> Any:
        if self._frame is not None:
            return self._frame.make(values)
        if self._numeric:
            return np.array(values, dtype=np.float64)
        rows = np.empty((len(values), self._width), dtype=object)
        rows[:] = values
        return rows


class FrameMaker:
    """Makes pandas frames, for the models that pick their columns by name."""

    def __init__(self, card: Card) -> None:
        # Here and not above: pandas is wanted by these models only.
        import pandas as pd  # noqa: PLC0415

        self._pandas = pd
        self._names = [feature.name for feature in card.features]
        self._dtypes = [
            {"boolean": "bool"}.get(feature.dtype, "float64")
            if feature.dtype in NUMBERS and (feature.dtype, feature.missing) != ("boolean", "allow")
            else "object"
            for feature in card.features
        ]

    def make(self, values: list[list[Any]]) -> Any:
        """Return a frame with the card's columns in the card's order."""
        columns = zip(self._names, zip(*values, strict=True), self._dtypes, strict=True)
        return self._pandas.DataFrame(
            {
                name: self._pandas.Series(list(column), dtype=dtype)
                for name, column, dtype in columns
            }
        )


class Ranges:
    """How far a value may lie from what training saw; ``margin`` is a share of each range."""

    def __init__(self, card: Card, margin: float = 0.0) -> None:
        self._names = [feature.name for feature in card.features]
        bounded = [
            (i, feature.minimum, feature.maximum)
            for i, feature in enumerate(card.features)
            if feature.minimum is not None and feature.maximum is not None
        ]
        self._columns = np.array([i for i, _, _ in bounded], dtype=np.intp)
        lowest = np.array([low for _, low, _ in bounded], dtype=np.float64)
        highest = np.array([high for _, _, high in bounded], dtype=np.float64)
        slack = margin * (highest - lowest)
        self._lowest, self._highest = lowest - slack, highest + slack
        self._all = len(bounded) == len(self._names)

    def faults(self, rows: Any, instances: Sequence[Any]) -> list[tuple[str, str]]:
        """Return at most twenty (path, rule) of values beyond the bounds; missing is within."""
        if not self._columns.size:
            return []
        values = self._bounded(rows)
        # Written so that NaN, which is missing, is beyond neither bound.
        below, above = values < self._lowest, values > self._highest
        if not (below | above).any():
            return []
        found = [
            (int(row), int(self._columns[column]), bool(below[row, column]))
            for row, column in np.argwhere(below | above)[:LIMIT]
        ]
        return [
            (self._cell(row, column, instances), "below_minimum" if under else "above_maximum")
            for row, column, under in found
        ]

    def _bounded(self, rows: Any) -> Rows:
        if self._all and isinstance(rows, np.ndarray) and rows.dtype == np.float64:
            return rows
        taken = (
            rows[:, self._columns]
            if isinstance(rows, np.ndarray)
            else (rows.iloc[:, self._columns].to_numpy())
        )
        return np.asarray(taken, dtype=np.float64)

    def _cell(self, row: int, column: int, instances: Sequence[Any]) -> str:
        label = escape(self._names[column]) if isinstance(instances[row], dict) else column
        return f"/instances/{row}/{label}"


__all__ = ["Ranges", "RowReader", "Rows", "RowsRefused"]
