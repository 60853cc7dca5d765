"""How much a row is like usual rows: the card's reference, made ready for vectorised use.

On the request path: every method is a handful of NumPy calls over the whole batch. The same
code measures the reference at sealing and the requests later, so the two cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from secureml.models.card import Card, Feature
from secureml.models.reference_profile import BINS, WIDTH, Reference
from secureml.models.rows.reader import Rows

BANDS = 4
_BAND_COLUMNS = 8
_CELL = 0.25  # of a robust deviation
LEAST = 1e-12  # the square of a distance that is none
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


class Typicality:
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
        self.fingerprints = Fingerprints(self.width)

    def encode(self, rows: Any) -> Rows:
        """Return rows as (rows, width) comparable numbers, see `Encoder`."""
        return self._encoder(rows)

    def mahalanobis(self, encoded: Rows, centre: Rows | None = None) -> tuple[Rows, Rows]:
        """Return of rows, (rows, width), the distances and the Rayleigh quotients, (rows,) each.

        The distance is Mahalanobis' (1936), in standard deviations of the table. ``centre``,
        (width,), stands in for the table's mean.
        """
        return self.rayleigh(encoded - (self._mean if centre is None else centre))

    def rayleigh(self, away: Rows) -> tuple[Rows, Rows]:
        """Return the same two of differences of rows, (rows, width)."""
        far, plain = squared(away, self._whiten)
        return np.sqrt(far), rayleigh_quotient(far, plain)

    def mahalanobis_one(self, row: Rows, centre: Rows | None = None) -> tuple[float, float]:
        """Return what `mahalanobis` does, of a single row, (width,), as numbers."""
        return self.rayleigh_one(row - (self._mean if centre is None else centre))

    def rayleigh_one(self, away: Rows) -> tuple[float, float]:
        """Return what `rayleigh` does, of a single difference, (width,), as numbers."""
        turned = away @ self._whiten
        far, plain = float(turned @ turned), float(away @ away)
        return math.sqrt(far), far / max(plain, LEAST)

    def bins(self, rows: Any, encoded: Rows) -> Rows:
        """Return the quantile bin of each compared number, (rows, numbers), 0 to 7."""
        many = self._edges.shape[1]
        numbers = encoded[:, :many] if self.plain else self._encoder.numbers(rows)
        if len(numbers) == 1:
            found: Rows = np.add.reduce(numbers > self._edges, axis=0, dtype=np.uint8)
            return found[None]
        found = np.zeros(numbers.shape, dtype=np.uint8)
        for edge in self._edges:
            found += numbers > edge
        return found


def squared(away: Rows, whiten: Rows) -> tuple[Rows, Rows]:
    """Return the squares of each difference's Mahalanobis and of its plain length, (rows,) each.

    ``away`` is (rows, width), ``whiten`` (width, width): W with W W' the inverse covariance.
    """
    turned = away @ whiten
    return np.einsum("ij,ij->i", turned, turned), np.einsum("ij,ij->i", away, away)


def rayleigh_quotient(far: Rows, plain: Rows) -> Rows:
    """Return the Rayleigh quotient, (rows,): large where a row deviates as real rows do not.

    However little it deviates: it is about the direction alone. x'Ax / x'x for the inverse
    covariance A, so between the least and the greatest eigenvalue of A (Rayleigh, Ritz);
    ``far`` and ``plain``, (rows,), are its two sides as `squared` returns them. 0 for no step.
    """
    found: Rows = far / np.maximum(plain, LEAST)
    return found


def outer(bins: Rows) -> Rows:
    """Return the share, (rows,), of each row's numbers in the first or last bin: beyond 2 and 98 %.

    ``bins`` is (rows, numbers), 0 to 7.
    """
    return _share((bins == 0) | (bins == len(BINS)))


def inner(bins: Rows) -> Rows:
    """Return the share, (rows,), of each row's numbers between the quartiles."""
    return _share((bins == 3) | (bins == 4))


def _share(held: Rows) -> Rows:
    found: Rows = held.mean(axis=1) if held.shape[1] else np.zeros(len(held))
    return found
