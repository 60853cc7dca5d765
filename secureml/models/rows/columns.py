"""Whole columns of cells read at once; what one of them cannot take is left to `cells`.

Every check is a set operation or a NumPy call over a column, so a thousand rows of mixed
features cost what a few dozen cost cell by cell. A column that is not entirely as the card
says yields None, and nobody here says why: finding the fault is worth its time only then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from secureml.models.card import Feature
from secureml.models.rows.dates import nothing, read_date
from secureml.models.rows.whole_numbers import bounds_of

Column = Sequence[Any]
Array = np.ndarray[Any, Any]
Reader = Callable[[Column], Any]
_NAN = float("nan")
_NOTHING = type(None)
_NUMBER_TYPES = frozenset({int, float})


def column_reader(feature: Feature, *, keeps_integers: bool = False) -> Reader:
    """Return what reads a column of this feature: an array of numbers or a list, or None.

    Numbers are float64; whole ones that are never missing int64 where ``keeps_integers``.
    """
    missing = {_NOTHING} if feature.missing == "allow" else set()
    if feature.dtype == "integer" and feature.categories is not None:
        return _whole_categories(feature)
    if keeps_integers and feature.dtype == "integer" and not missing:
        return _integers(*bounds_of(feature))
    if feature.dtype in ("float", "integer"):
        return _numbers(frozenset({int, float} | missing), whole=feature.dtype == "integer")
    if feature.dtype == "boolean":
        return _words(frozenset({bool} | missing), None)
    if feature.dtype == "date":
        return _dates(frozenset({str} | missing))
    open_ended = feature.categories is None or feature.unknown == "allow"
    known = None if open_ended else frozenset((*(feature.categories or ()), None))
    return _words(frozenset({str} | missing), known)


def _numbers(kinds: frozenset[type], *, whole: bool) -> Reader:
    def read(column: Column) -> Array | None:
        found = set(map(type, column))
        if not found <= kinds:
            return None
        values = np.array(column, dtype=np.float64)
        absent = column.count(None) if _NOTHING in found else 0
        # Missing became NaN; more that is not finite than is missing was sent so.
        if np.count_nonzero(np.isfinite(values)) != len(column) - absent:
            return None
        if whole and not (np.isnan(values) | (values == np.floor(values))).all():
            return None
        return values

    return read


def _integers(least: int, most: int) -> Reader:
    def read(column: Column) -> Array | None:
        kinds = set(map(type, column))
        if not kinds <= _NUMBER_TYPES:
            return None
        if kinds != {int}:
            # JSON has one kind of number: 3.0 is 3. What is not whole, or not finite, is a fault.
            if not all(type(cell) is int or cell.is_integer() for cell in column):
                return None
            column = [int(cell) for cell in column]
        values = np.array(column, dtype=np.int64)
        return values if least <= values.min() and values.max() <= most else None

    return read


def _whole_categories(feature: Feature) -> Reader:
    numbers = _numbers(
        frozenset({int, float} | ({_NOTHING} if feature.missing == "allow" else set())), whole=True
    )
    known = np.array(feature.categories or (), dtype=np.float64)

    def read(column: Column) -> Array | None:
        values: Array | None = numbers(column)
        if values is None or feature.unknown == "allow":
            return values
        return values if (np.isin(values, known) | np.isnan(values)).all() else None

    return read


def _dates(kinds: frozenset[type]) -> Reader:
    absent = nothing()

    def read(column: Column) -> Array | None:
        if not set(map(type, column)) <= kinds:
            return None
        try:
            found = [absent if cell is None else read_date(cell) for cell in column]
        except ValueError:
            return None
        return np.array(found, dtype="datetime64[us]")

    return read


def _words(kinds: frozenset[type], known: frozenset[Any] | None) -> Reader:
    def read(column: Column) -> list[Any] | None:
        found = set(map(type, column))
        if not found <= kinds or (known is not None and not known.issuperset(column)):
            return None
        if _NOTHING in found:
            return [_NAN if cell is None else cell for cell in column]
        return list(column)

    return read


class ColumnReader:
    """Reads rows of equal length by a card's features."""

    def __init__(self, features: Sequence[Feature], *, keeps_integers: bool = False) -> None:
        self._readers = [
            column_reader(feature, keeps_integers=keeps_integers) for feature in features
        ]

    def read(self, rows: Sequence[Sequence[Any]]) -> list[Any] | None:
        """Return every column, or None where a cell is not as the card says."""
        try:
            return self.read_columns(list(zip(*rows, strict=True)))
        except OverflowError:  # a whole number beyond a double, or beyond 64 bits
            return None

    def read_columns(self, columns: Sequence[Column]) -> list[Any] | None:
        """Return the same of columns of cells; raises OverflowError."""
        found = []
        for reader, column in zip(self._readers, columns, strict=True):
            values = reader(column)
            if values is None:
                return None
            found.append(values)
        return found
