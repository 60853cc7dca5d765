"""Instances as a client sends them, read into the rows a model takes.

Nothing is converted that a person would not call the same value: a string never becomes a
number, a bool neither, and null only where the card says a value may be missing.
On the request path: the ordinary case (all numbers, nothing missing) is a handful of C
calls, other cards a few a column; only when one disagrees is anything looked at cell by cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from secureml.models.card import NUMBERS, Card, Feature
from secureml.models.rows.cells import CellReader
from secureml.models.rows.columns import ColumnReader
from secureml.models.rows.frames import FrameMaker, number_dtype
from secureml.models.rows.refused import RowsRefused

Rows = np.ndarray[Any, Any]
_ROW_KINDS = ({list}, {dict})
_FEW = 4  # below so many rows, cells are as fast as columns
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
        self._needed = np.array(
            [i for i, feature in enumerate(card.features) if feature.missing == "refuse"],
            dtype=np.intp,
        )
        self._plain = (
            all(feature.dtype in ("float", "integer") for feature in card.features)
            and card.container == "array"
            and card.array_dtype in ("", "float32")
        )
        self._optional = {f.name: None for f in card.features if f.missing == "allow"}
        numeric = all(feature.dtype in NUMBERS for feature in card.features)
        self._dtype = np.dtype(card.array_dtype or (np.float64 if numeric else object))
        self._columns = ColumnReader(card.features, keeps_integers=card.keeps_integers)
        self._cells = CellReader(card)
        self._frame = FrameMaker(card) if card.container == "frame" else None

    def read(self, instances: Any) -> Any:
        """Return the rows: an array of the card's dtype, or a frame of its columns' dtypes.

        One row is made of the same dtypes as a thousand. Raises RowsRefused.
        """
        if type(instances) is list and instances:
            rows = self._read_at_once(instances)
            if rows is not None:
                return rows
        # A few rows, or something is wrong with them: cell by cell, every fault by name.
        return self._build(list(zip(*self._cells.read(instances), strict=True)), len(instances))

    @property
    def takes_numbers(self) -> bool:
        """Whether rows are arrays of numbers, so that `read_numbers` may read them."""
        return self._plain

    def read_numbers(self, values: Rows) -> Rows | None:
        """Return the rows that these numbers are, None where one must be looked at by itself.

        ``values`` are float64 of the shape (rows, features), NaN where missing; for whole tables,
        which are read as instances with the same cells would be.
        """
        if not self._plain:
            return None
        missing = np.isnan(values)
        if missing.any() and (self._dtype != np.float64 or missing[:, self._needed].any()):
            return None
        present = np.where(missing, 0.0, values) if missing.any() else values
        if not np.isfinite(present).all() or not self._whole_enough(present):
            return None
        return values if self._dtype == np.float64 else values.astype(self._dtype)

    def read_columns(self, columns: Sequence[Sequence[Any]]) -> Any | None:
        """Return the rows of these cells, each feature's as a list; None as `read_numbers` does."""
        try:
            found = self._columns.read_columns(columns)
        except OverflowError:
            return None
        return None if found is None else self._build(found, len(columns[0]))

    def _read_at_once(self, instances: list[Any]) -> Rows | None:
        """Return the rows when every one is as it should be, None when one is not."""
        kinds = set(map(type, instances))
        if kinds not in _ROW_KINDS:
            return None
        if set(map(len, instances)) != {self._width}:
            if kinds != {dict} or not self._optional:
                return None
            # What may be missing may be left out. Names that are none are found by the picking.
            instances = [{**self._optional, **instance} for instance in instances]
        try:
            if kinds == {dict}:
                instances = self._picked(instances)
            rows = self._numbers(instances) if self._plain else None
        except (KeyError, OverflowError):
            return None
        if rows is not None or len(instances) < _FEW or (self._plain and not self._optional):
            return rows
        columns = self._columns.read(instances)
        return None if columns is None else self._build(columns, len(instances))

    def _picked(self, instances: list[Any]) -> list[Any]:
        """Return objects as rows; raises KeyError where one has other names."""
        if set(map(len, instances)) != {self._width}:
            raise KeyError("names")
        return list(map(self._pick, instances))

    def _numbers(self, instances: list[Any]) -> Rows | None:
        cells = list(chain.from_iterable(instances))
        # An infinity or a NaN anywhere makes the sum one, too.
        if not _NUMBER_TYPES.issuperset(map(type, cells)) or not math.isfinite(sum(cells)):
            return None
        rows = np.array(cells, dtype=np.float64).reshape(len(instances), self._width)
        if not self._whole_enough(rows):
            return None
        return rows if self._dtype == np.float64 else rows.astype(self._dtype)

    def _whole_enough(self, rows: Rows) -> bool:
        if not self._whole.size:
            return True
        whole = rows[:, self._whole]
        return bool((whole == np.floor(whole)).all())

    def _build(self, columns: Sequence[Any], length: int) -> Any:
        if self._frame is not None:
            return self._frame.make(columns)
        rows = np.empty((length, self._width), dtype=self._dtype)
        for index, column in enumerate(columns):
            rows[:, index] = column
        return rows


def given_to(card: Card, rows: Any) -> Any:
    """Return rows as the model of a card takes them.

    A model of texts takes its column alone, one of objects a list of them, without what is
    missing.
    """
    if type(rows) is list:
        return rows  # such objects already
    if card.container == "mapping":
        names = [feature.name for feature in card.features]
        return [
            {name: cell for name, cell in zip(names, row, strict=True) if not _is_nan(cell)}
            for row in rows.tolist()
        ]
    if card.container != "column":
        return rows
    return rows[:, 0] if isinstance(rows, np.ndarray) else rows.iloc[:, 0]


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def array_dtype(features: Sequence[Feature]) -> str:
    """Return what pandas makes an array of these columns of, as a card's ``array_dtype``."""
    kinds = {"boolean" if f.dtype == "boolean" else str(number_dtype(f)) for f in features}
    if any(feature.dtype not in NUMBERS for feature in features):
        return ""  # objects, as any array with words in it
    if kinds in ({"int64"}, {"float32"}):
        return next(iter(kinds))
    if "boolean" not in kinds:
        return ""
    plain = kinds == {"boolean"} and all(feature.missing == "refuse" for feature in features)
    return "bool" if plain else "object"


__all__ = ["RowReader", "Rows", "RowsRefused", "array_dtype", "given_to"]
