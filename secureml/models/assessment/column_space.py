"""Rows as numbers: what an attacker varies, and what a copy of the model learns from.

A row is a vector with one number for each column of the card: the value of a number, 0 or 1 of a
truth value, the place of a word in the list of words that are known, NaN where it is missing.
A date is a word of a list in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from secureml.models.card import Feature

Array = np.ndarray[Any, Any]
_TEXT_WIDTH = 256  # numbers that a copy is given for a text


class ColumnSpace:
    """The columns of a card, with the ranges and words that are known of them.

    ``rows`` are values as JSON has them, in the order of the card; at least one.
    """

    def __init__(self, features: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> None:
        self.features = tuple(features)
        self.numbers = np.array([f.dtype in ("float", "integer") for f in features])
        self.whole = np.array([f.dtype == "integer" for f in features])
        columns = list(zip(*rows, strict=True))
        self.words = [
            _words(feature, column) for feature, column in zip(features, columns, strict=True)
        ]
        self._codes = [{word: place for place, word in enumerate(each)} for each in self.words]
        known = self.matrix(rows)
        self.low, self.high = _ranges(self.features, known)
        self.mean, self.spread = _moments(known)
        self._gaps: Array = np.asarray(np.isnan(known).any(axis=0))

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.features)

    def matrix(self, rows: Sequence[Sequence[Any]]) -> Array:
        """Return rows as numbers, of the shape (rows, columns)."""
        found = np.empty((len(rows), self.width))
        for place, column in enumerate(zip(*rows, strict=True)):
            codes = self._codes[place]
            read = column if not codes else [codes.get(cell) for cell in column]
            found[:, place] = [np.nan if cell is None else float(cell) for cell in read]
        return found

    def instances(self, matrix: Array) -> list[list[Any]]:
        """Return rows as a client sends them."""
        columns = [self._values(place, column) for place, column in enumerate(matrix.T)]
        return [list(row) for row in zip(*columns, strict=True)]

    def _values(self, place: int, column: Array) -> list[Any]:
        missing = np.isnan(column)
        feature, words = self.features[place], self.words[place]
        if feature.dtype == "float" and not missing.any():
            found: list[Any] = column.tolist()
            return found
        plain = np.where(missing, 0, column)
        if words:
            values: list[Any] = [words[int(code)] for code in plain]
        elif feature.dtype == "float":
            values = plain.tolist()
        elif feature.dtype == "boolean":
            values = (plain > 0.5).tolist()
        else:
            values = [int(value) for value in plain]
        return [None if gone else value for gone, value in zip(missing, values, strict=True)]

    def within(self, matrix: Array) -> Array:
        """Return rows that the input rules accept: in the ranges of the card, whole where whole."""
        found = matrix.copy()
        numbers = self.numbers
        found[:, numbers] = np.clip(found[:, numbers], self.low[numbers], self.high[numbers])
        found[:, self.whole] = np.round(found[:, self.whole])
        return found

    def uniform(self, count: int, generator: np.random.Generator) -> Array:
        """Return rows of an attacker who knows ranges and words alone."""
        drawn = generator.uniform(self.low, self.high, (count, self.width))
        for place, feature in enumerate(self.features):
            if not self.numbers[place]:
                options = len(self.words[place]) or 2
                drawn[:, place] = generator.integers(options, size=count)
            elif feature.dtype == "integer":
                drawn[:, place] = np.round(drawn[:, place])
        return drawn

    def encode(self, matrix: Array, leave_out: int | None = None) -> Array:
        """Return what a copy learns from: numbers in deviations, one column for each word.

        ``leave_out`` is the place of a column that is not shown.
        """
        parts = [
            self._encoded(place, matrix[:, place])
            for place in range(self.width)
            if place != leave_out
        ]
        return np.hstack(parts) if parts else np.zeros((len(matrix), 1))

    def _encoded(self, place: int, column: Array) -> Array:
        missing: Array = np.isnan(column)
        words = self.words[place]
        if self.features[place].dtype == "text":
            texts = ["" if gone else words[int(code)] for gone, code in _cells(missing, column)]
            found: Array = _HASHING.transform(texts).toarray()
            return found
        if words and self.features[place].dtype != "date":
            codes = np.where(missing, -1, column)[:, None]
            return np.equal(codes, np.arange(len(words))).astype(float)
        scaled: Array = np.asarray((column - self.mean[place]) / self.spread[place])
        scaled[missing] = 0.0
        if not self._gaps[place]:
            return scaled[:, None]
        return np.column_stack([scaled, missing.astype(float)])


_HASHING = HashingVectorizer(n_features=_TEXT_WIDTH, alternate_sign=False)


def _cells(missing: Array, column: Array) -> Any:
    return zip(missing.tolist(), np.where(missing, 0, column).tolist(), strict=True)


def _words(feature: Feature, column: Sequence[Any]) -> tuple[Any, ...]:
    """Return the words of a column; none of numbers and truth values."""
    if feature.categories is not None:
        return feature.categories
    if feature.dtype not in ("text", "date"):
        return ()
    return tuple(sorted({cell for cell in column if cell is not None})) or ("",)


def _ranges(features: Sequence[Feature], known: Array) -> tuple[Array, Array]:
    """Return the ranges of the card, and where it has none those of the rows."""
    filled = np.where(
        np.isnan(known), np.nanmean(np.vstack([known, np.zeros(known.shape[1])]), axis=0), known
    )
    low, high = filled.min(axis=0), filled.max(axis=0)
    for place, feature in enumerate(features):
        if feature.minimum is not None and feature.maximum is not None:
            low[place], high[place] = feature.minimum, feature.maximum
    return low, high


def _moments(known: Array) -> tuple[Array, Array]:
    """Return mean and deviation of each column; 1 where a column has one value."""
    present = ~np.isnan(known)
    count = np.maximum(present.sum(axis=0), 1)
    filled = np.where(present, known, 0.0)
    mean = filled.sum(axis=0) / count
    deviation = np.sqrt((np.where(present, known - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(deviation > 0, deviation, 1.0)
