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
from secureml.models.rows.cells import CellReader, RowsRefused
from secureml.models.rows.columns import ColumnReader

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
        self._plain = (
            all(
                feature.dtype in ("float", "integer") and feature.missing == "refuse"
                for feature in card.features
            )
            and card.container == "array"
            and not card.array_dtype
        )
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

    def _read_at_once(self, instances: list[Any]) -> Rows | None:
        """Return the rows when every one is as it should be, None when one is not."""
        kinds = set(map(type, instances))
        if kinds not in _ROW_KINDS or set(map(len, instances)) != {self._width}:
            return None
        try:
            if kinds == {dict}:
                instances = list(map(self._pick, instances))
            if self._plain:
                return self._numbers(instances)
        except (KeyError, OverflowError):
            return None
        if len(instances) < _FEW:
            return None
        columns = self._columns.read(instances)
        return None if columns is None else self._build(columns, len(instances))

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

    def _build(self, columns: Sequence[Any], length: int) -> Any:
        if self._frame is not None:
            return self._frame.make(columns)
        rows = np.empty((length, self._width), dtype=self._dtype)
        for index, column in enumerate(columns):
            rows[:, index] = column
        return rows


class FrameMaker:
    """Makes pandas frames with the dtypes that pandas gives the table the card was learned from.

    A whole number stays one: text that is made of it must say "3" and not "3.0". Where values
    are missing pandas makes float64 of whole numbers and objects of truth values, and so do we,
    whether or not one is missing in this request.
    """

    def __init__(self, card: Card) -> None:
        # Here and not above: pandas is wanted by these models only.
        import pandas as pd  # noqa: PLC0415

        self._pandas = pd
        self._names = [feature.name for feature in card.features]
        words = pd.Series(["a"]).dtype  # `str` since pandas 3, `object` before
        self._dtypes = [_pandas_dtype(feature, words) for feature in card.features]

    def make(self, columns: Sequence[Any]) -> Any:
        """Return a frame of the card's columns in the card's order."""
        parts = zip(self._names, columns, self._dtypes, strict=True)
        return self._pandas.DataFrame(
            {
                name: self._pandas.Series(
                    column if isinstance(column, np.ndarray) else list(column), dtype=dtype
                )
                for name, column, dtype in parts
            }
        )


def _pandas_dtype(feature: Feature, words: Any) -> Any:
    if feature.dtype not in NUMBERS:
        return words
    if feature.missing == "allow":
        return "object" if feature.dtype == "boolean" else "float64"
    return {"boolean": "bool", "integer": "int64"}.get(feature.dtype, "float64")


def given_to(card: Card, rows: Any) -> Any:
    """Return rows as the model of a card takes them: a model of texts takes its column alone."""
    if card.container != "column":
        return rows
    return rows[:, 0] if isinstance(rows, np.ndarray) else rows.iloc[:, 0]


def array_dtype(features: Sequence[Feature]) -> str:
    """Return what pandas makes an array of these columns of, as a card's ``array_dtype``."""
    kinds = {"boolean" if f.dtype == "boolean" else str(_pandas_dtype(f, None)) for f in features}
    if any(feature.dtype not in NUMBERS for feature in features):
        return ""  # objects, as any array with words in it
    if kinds == {"int64"}:
        return "int64"
    if "boolean" not in kinds:
        return ""
    plain = kinds == {"boolean"} and all(feature.missing == "refuse" for feature in features)
    return "bool" if plain else "object"


__all__ = ["RowReader", "Rows", "RowsRefused", "array_dtype", "given_to"]
