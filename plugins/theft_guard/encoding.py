"""Rows of any card as one table of comparable numbers, and fingerprints of them.

On the request path: a handful of NumPy calls over the whole batch. The same code measures the
reference profile at sealing and the requests later, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from secureml.kit.protocols import Feature

from .reference_profile import WIDTH

Rows = np.ndarray[Any, Any]

BANDS = 4
_BAND_COLUMNS = 8
_CELL = 0.25  # of a robust deviation
_WORD = 0.5**0.5  # so that one other word is a distance of one
_SEED = 20_180_502
_ABOVE = 2**20  # cells; no number is farther out
_FARTHEST = 711.0  # the asinh of the largest double is 710.5
_HIGH, _LOWEST = np.uint64(29), np.uint32(1)


class Encoder:
    """Rows of any card as one float64 table: asinh of robust deviations, and one-hot words.

    asinh bends heavy tails, so one long column does not hide all others. Missing numbers stand
    at the centre; missing words are no word. Beyond WIDTH columns a fixed projection of random
    signs folds them (Achlioptas, "Database-friendly random projections", 2003).
    ``centre`` and ``scale``, (numbers,), are in the units of the columns; what comes out has none.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        numbers: Sequence[int],
        words: Sequence[int],
        centre: Sequence[float],
        scale: Sequence[float],
    ) -> None:
        self._numbers = np.array(numbers, dtype=np.intp)
        self._gaps = any(features[index].missing == "allow" for index in numbers)
        self._all = list(numbers) == list(range(len(features)))
        self._centre, self._inverse = np.array(centre), 1.0 / np.array(scale)
        self._words = [(index, _codes(features[index])) for index in words]
        total = len(numbers) + sum(len(codes) for _, codes in self._words)
        self.width = min(total, WIDTH)
        self.plain = total <= WIDTH
        signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], (total, WIDTH))
        self._fold = None if self.plain else signs / WIDTH**0.5

    def numbers(self, rows: Any) -> Rows:
        """Return the compared numbers of rows, (rows, numbers): asinh of robust deviations.

        Always finite: one row of infinities would be in every mean of its client's for good.
        """
        if self._all and isinstance(rows, np.ndarray) and rows.dtype == np.float64:
            taken = rows
        elif isinstance(rows, np.ndarray):
            taken = rows[:, self._numbers].astype(np.float64)
        else:
            taken = rows.iloc[:, self._numbers].to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(over="ignore"):
            found: Rows = np.arcsinh((taken - self._centre) * self._inverse)
        np.minimum(found, _FARTHEST, out=found)
        np.maximum(found, -_FARTHEST, out=found)
        if self._gaps:
            found[np.isnan(found)] = 0.0
        return found

    def __call__(self, rows: Any) -> Rows:
        """Return (rows, width), numbers first and then a column for each word, without units."""
        parts = [self.numbers(rows)]
        for index, codes in self._words:
            column = rows[:, index] if isinstance(rows, np.ndarray) else rows.iloc[:, index]
            hot = np.zeros((len(rows), len(codes)))
            for row, cell in enumerate(column):
                code = codes.get(cell) if isinstance(cell, str) else None
                if code is not None:
                    hot[row, code] = _WORD
            parts.append(hot)
        table = parts[0] if len(parts) == 1 else np.hstack(parts)
        folded: Rows = table if self._fold is None else table @ self._fold
        return folded


def _codes(feature: Feature) -> dict[str, int]:
    return {word: code for code, word in enumerate(feature.categories or ())}


class Fingerprints:
    """Fingerprints of rows: equal wherever all columns of a band fall into the same cells.

    The idea of Blacklight (Li et al., USENIX Security 2022) for columns instead of pixels. Each
    band has its own columns and its own grid, so two rows beside one border meet in another.
    """

    def __init__(self, width: int) -> None:
        chance = np.random.default_rng(_SEED)
        self._columns = min(width, _BAND_COLUMNS)
        chosen, odd = [], []
        for _ in range(BANDS):
            chosen.append(chance.choice(width, self._columns, replace=False))
            odd.append(chance.integers(1, 2**62, self._columns) | 1)
        self._chosen, self._odd = np.concatenate(chosen), np.concatenate(odd)
        # Far above zero, where cutting a number short is rounding it down.
        self._shift = np.repeat(np.arange(BANDS) / BANDS, self._columns) + _ABOVE

    def bands(self, encoded: Rows) -> Rows:
        """Return (rows, BANDS) unsigned 32-bit fingerprints of (rows, width), none of them 0."""
        cells = encoded.take(self._chosen, axis=1)
        cells *= 1 / _CELL
        cells += self._shift
        mixed = cells.astype(np.int64)
        mixed *= self._odd
        sums = np.add.reduce(mixed.reshape(len(encoded), BANDS, self._columns), axis=2)
        fingerprints: Rows = (sums.view(np.uint64) >> _HIGH).astype(np.uint32)
        fingerprints |= _LOWEST
        return fingerprints
