"""Rows as numbers, and distances between them, measured in the units of the model's card.

The one place that knows how the core spells what the card says; everything else in this plugin
uses the usual names of the statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]


class FeatureSpace:
    """Encodes rows by the card and measures them; ``typicality`` is the core's measure of a card.

    ``width`` is the number of encoded columns. Callables, so that a measurement costs no call more:

    ``encode(rows)`` returns (n, width) floats.
    ``mahalanobis(encoded, centre=None)`` returns for n rows, (n, width), their Mahalanobis
    distances from the centre, (n,), and Rayleigh quotients, (n,): the Mahalanobis distance
    squared over the plain one squared, large for a row that lies in directions of little
    variance. ``mahalanobis_one`` does so for one row, (width,), and returns two floats.
    ``step(differences)`` and ``step_one(difference)`` return the same two numbers of steps
    between rows; the quotient is the second.
    ``bins(rows, encoded)`` returns (n, columns) quantile bins, 0 to 7.
    ``bands(encoded)`` returns (n, 4) fingerprints (locality-sensitive hashes).
    """

    def __init__(self, typicality: Any) -> None:
        self.profile = ReferenceProfile(typicality.reference)
        self.width: int = typicality.width
        self.numeric_only: bool = typicality.plain
        self.encode, self.bins, self.bands = (
            typicality.encode, typicality.bins, typicality.fingerprints.bands,
        )  # fmt: skip
        self.mahalanobis, self.mahalanobis_one = typicality.mahalanobis, typicality.mahalanobis_one
        self.step, self.step_one = typicality.rayleigh, typicality.rayleigh_one


class ReferenceProfile:
    """What the card says is usual: quantiles over held-out rows of the table it was sealed with.

    ``mahalanobis`` (7), ``nearest`` (distances to the nearest of 128 other rows), ``rayleigh`` and
    ``step`` (Rayleigh quotients, None on a card that has none), ``margins`` (None without
    probabilities), ``tails`` and ``central`` (shares of a row's columns in outer and inner
    quantile bins); ``class_distances``, (classes, 9), the deciles of the distance to the nearest
    row answered alike; ``changed``, the share of columns in which neighbours differ;
    ``collisions``, the share of rows that meet another's fingerprint by chance.
    """

    def __init__(self, reference: Any) -> None:
        self.columns = len(reference.bins)
        self.mahalanobis: tuple[float, ...] = reference.mahalanobis
        self.nearest: tuple[float, ...] = reference.near
        self.class_distances: tuple[tuple[float, ...], ...] = reference.class_distances
        self.changed: float = reference.changed
        self.margins: tuple[float, ...] | None = reference.margins
        self.tails: tuple[float, ...] = reference.outer
        self.central: tuple[float, ...] = reference.inner
        self.collisions: float = reference.collides
        self.rayleigh: tuple[float, ...] | None = reference.rayleigh
        self.step: tuple[float, ...] | None = reference.step_rayleigh
