"""How much a row is like usual rows: the card's reference, made ready for vectorised use.

On the request path: every method is a handful of NumPy calls over the whole batch. The same
code measures the reference at sealing and the requests later, so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .card import Card, Feature
from .reference import BINS, WIDTH, Reference
from .rows import Rows

BANDS = 4
_BAND_COLUMNS = 8
_CELL = 0.25  # of a robust deviation
_WORD = 0.5**0.5  # so that one other word is a distance of one
_SEED = 20_180_502


class Encoder:
    """Rows of any card as one float64 table: asinh of robust deviations, and one-hot words.

    asinh bends heavy tails, so one long column does not hide all others. Missing numbers stand
    at the centre; missing words are no word. Beyond WIDTH columns a fixed projection folds them.
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
        self._gaps = any(features[place].missing == "allow" for place in numbers)
        self._all = list(numbers) == list(range(len(features)))
        self._centre, self._inverse = np.array(centre), 1.0 / np.array(scale)
        self._words = [(place, _codes(features[place])) for place in words]
        total = len(numbers) + sum(len(codes) for _, codes in self._words)
        self.width = min(total, WIDTH)
        self.plain = total <= WIDTH
        signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], (total, WIDTH))
        self._fold = None if self.plain else signs / WIDTH**0.5

    def numbers(self, rows: Any) -> Rows:
        """Return the compared numbers of rows as deviations, bent."""
        if self._all and isinstance(rows, np.ndarray) and rows.dtype == np.float64:
            taken = rows
        elif isinstance(rows, np.ndarray):
            taken = rows[:, self._numbers].astype(np.float64)
        else:
            taken = rows.iloc[:, self._numbers].to_numpy(dtype=np.float64, na_value=np.nan)
        found: Rows = np.arcsinh((taken - self._centre) * self._inverse)
        if self._gaps:
            found[np.isnan(found)] = 0.0
        return found

    def __call__(self, rows: Any) -> Rows:
        """Return (rows, width)."""
        parts = [self.numbers(rows)]
        for place, codes in self._words:
            column = rows[:, place] if isinstance(rows, np.ndarray) else rows.iloc[:, place]
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


class Prints:
    """Fingerprints of rows: equal wherever all columns of a band fall into the same cells.

    The idea of Blacklight (Li et al., USENIX Security 2022) for columns instead of pixels. Each
    band has its own columns and its own grid, so two rows beside one border meet in another.
    """

    def __init__(self, width: int) -> None:
        chance = np.random.default_rng(_SEED)
        columns = min(width, _BAND_COLUMNS)
        self._odd = np.zeros((width, BANDS), dtype=np.int64)
        for band in range(BANDS):
            chosen = chance.choice(width, columns, replace=False)
            self._odd[chosen, band] = chance.integers(1, 2**62, columns) | 1
        self._shift = np.arange(BANDS) / BANDS

    def bands(self, encoded: Rows) -> Rows:
        """Return (rows, BANDS) unsigned 32-bit prints, none of them 0."""
        cells = np.floor(encoded[:, :, None] / _CELL + self._shift).astype(np.int64)
        mixed: Rows = (cells * self._odd).sum(axis=1).view(np.uint64)
        prints: Rows = (mixed >> np.uint64(29)).astype(np.uint32) | np.uint32(1)
        return prints


class Likeness:
    """The reference of one card, ready; built once a model, safe for many threads."""

    def __init__(self, card: Card, reference: Reference) -> None:
        self.reference = reference
        self._encoder = Encoder(
            card.features, reference.numbers, reference.words, reference.centre, reference.scale
        )
        self.width, self.plain = self._encoder.width, self._encoder.plain
        self._mean, self._whiten = np.array(reference.mean), np.array(reference.whiten)
        edges = np.array(reference.bins).reshape(len(reference.numbers), -1)
        self._edges = np.arcsinh((edges.T - np.array(reference.centre)) / np.array(reference.scale))
        self.prints = Prints(self.width)

    def encode(self, rows: Any) -> Rows:
        """Return rows as (rows, width) comparable numbers."""
        return self._encoder(rows)

    def strangeness(self, encoded: Rows) -> Rows:
        """Return the Mahalanobis distance of each row."""
        turned = (encoded - self._mean) @ self._whiten
        found: Rows = np.sqrt(np.einsum("ij,ij->i", turned, turned))
        return found

    def bins(self, rows: Any, encoded: Rows) -> Rows:
        """Return the quantile bin of each compared number, (rows, numbers), 0 to 7."""
        many = self._edges.shape[1]
        numbers = encoded[:, :many] if self.plain else self._encoder.numbers(rows)
        found: Rows = np.count_nonzero(numbers[:, None, :] > self._edges, axis=1)
        return found


def outer(bins: Rows) -> Rows:
    """Return the share of each row's numbers in the first or last bin, beyond 2 and 98 %."""
    return _share((bins == 0) | (bins == len(BINS)))


def inner(bins: Rows) -> Rows:
    """Return the share of each row's numbers between the quartiles."""
    return _share((bins == 3) | (bins == 4))


def _share(held: Rows) -> Rows:
    found: Rows = held.mean(axis=1) if held.shape[1] else np.zeros(len(held))
    return found
