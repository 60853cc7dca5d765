"""Rows as numbers, and distances between them, in the units of a model's reference profile.

On the request path: every method is a handful of NumPy calls over the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from secureml.kit.protocols import Feature

from .encoding import Encoder, Fingerprints
from .reference_profile import BIN_LEVELS, ReferenceProfile

Rows = np.ndarray[Any, Any]
LEAST = 1e-12  # the square of a distance that is none


class FeatureSpace:
    """The space in which rows of one card are compared; built once a model, safe for threads.

    ``width`` is the number of encoded columns, ``numeric_only`` whether the first of them are the
    compared numbers themselves. ``encode(rows)`` returns (rows, width) floats, ``bands(encoded)``
    (rows, BANDS) fingerprints (locality-sensitive hashes).
    """

    def __init__(self, features: Sequence[Feature], profile: ReferenceProfile) -> None:
        self.profile = profile
        self.encode = Encoder(
            features, profile.numbers, profile.words, profile.centre, profile.scale
        )
        self.width, self.numeric_only = self.encode.width, self.encode.plain
        self._mean, self._whitening = np.array(profile.mean), np.array(profile.whitening)
        edges = np.array(profile.bins).reshape(len(profile.numbers), -1)
        self._edges = np.arcsinh((edges.T - np.array(profile.centre)) / np.array(profile.scale))
        # Callables, so that a measurement costs no call more.
        self.bands = Fingerprints(self.width).bands

    def mahalanobis(self, encoded: Rows, centre: Rows | None = None) -> tuple[Rows, Rows]:
        """Return of rows, (rows, width), the distances and the Rayleigh quotients, (rows,) each.

        The distance is Mahalanobis' (1936), in standard deviations of the table. ``centre``,
        (width,), stands in for the table's mean.
        """
        return self.step(encoded - (self._mean if centre is None else centre))

    def step(self, difference: Rows) -> tuple[Rows, Rows]:
        """Return the same two of differences between rows, (rows, width)."""
        far, plain = squared(difference, self._whitening)
        return np.sqrt(far), rayleigh_quotient(far, plain)

    def mahalanobis_one(self, row: Rows, centre: Rows | None = None) -> tuple[float, float]:
        """Return what `mahalanobis` does, of a single row, (width,), as numbers."""
        return self.step_one(row - (self._mean if centre is None else centre))

    def step_one(self, difference: Rows) -> tuple[float, float]:
        """Return what `step` does, of a single difference, (width,)."""
        turned = difference @ self._whitening
        far, plain = float(turned @ turned), float(difference @ difference)
        return math.sqrt(far), far / max(plain, LEAST)

    def bins(self, rows: Any, encoded: Rows) -> Rows:
        """Return the quantile bin of each compared number, (rows, numbers), 0 to 7."""
        many = self._edges.shape[1]
        numbers = encoded[:, :many] if self.numeric_only else self.encode.numbers(rows)
        if len(numbers) == 1:
            found: Rows = np.add.reduce(numbers > self._edges, axis=0, dtype=np.uint8)
            return found[None]
        found = np.zeros(numbers.shape, dtype=np.uint8)
        for edge in self._edges:
            found += numbers > edge
        return found


def squared(differences: Rows, whitening: Rows) -> tuple[Rows, Rows]:
    """Return the squares of each difference's Mahalanobis and of its plain length, (rows,) each.

    ``differences`` is (rows, width), ``whitening`` (width, width): W with W W' the inverse
    covariance.
    """
    turned = differences @ whitening
    return np.einsum("ij,ij->i", turned, turned), np.einsum("ij,ij->i", differences, differences)


def rayleigh_quotient(far: Rows, plain: Rows) -> Rows:
    """Return the Rayleigh quotient, (rows,): large where a row deviates as real rows do not.

    However little it deviates: it is about the direction alone. x'Ax / x'x for the inverse
    covariance A, so between the least and the greatest eigenvalue of A (Rayleigh, Ritz);
    ``far`` and ``plain``, (rows,), are its two sides as `squared` returns them. 0 for no step.
    """
    found: Rows = far / np.maximum(plain, LEAST)
    return found


def tails(bins: Rows) -> Rows:
    """Return the share, (rows,), of each row's numbers in the first or last bin: beyond 2 and 98 %.

    ``bins`` is (rows, numbers), 0 to 7.
    """
    return _share((bins == 0) | (bins == len(BIN_LEVELS)))


def central(bins: Rows) -> Rows:
    """Return the share, (rows,), of each row's numbers between the quartiles."""
    return _share((bins == 3) | (bins == 4))


def _share(held: Rows) -> Rows:
    found: Rows = held.mean(axis=1) if held.shape[1] else np.zeros(len(held))
    return found
