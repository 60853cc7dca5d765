"""Data drift: how far requests have moved from what the model was trained on, by feature.

The population stability index (PSI; Siddiqi, "Credit Risk Scorecards", 2006): rows are counted
into the quantile bins of the signed card, whose shares e are known; with the shares a of now it is
the sum of (a - e) ln(a / e), in nats. Below 0.1 is nothing, above 0.25 the model answers about
other data than it learned from.

Where many rows have one value, several edges of the card are one number: the bins between them are
one bin, and how many rows are at most that number the card knows only within two levels. What it
does not know is no drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from secureml.kit.protocols import Feature

from .feature_bins import LEVELS, FeatureBins

SHARES = np.diff([0.0, *LEVELS, 1.0])
MIN_ROWS = 200  # of fewer the index says more about chance than about drift
_MAX_ROWS = 1000  # of one request

Counts = np.ndarray[Any, np.dtype[np.int64]]
Shares = np.ndarray[Any, np.dtype[np.float64]]


class FeatureDrift(NamedTuple):
    """One feature's index in nats, and of how many rows."""

    feature: str
    psi: float
    rows: int


class Known(NamedTuple):
    """What a card says of one feature's bins.

    ``first`` are the bins that begin a new one, the others are empty because edges are equal;
    ``low`` and ``high``, one shorter, bound the share of rows up to the end of each but the last.
    """

    first: Counts
    low: Shares
    high: Shares


class Bins:
    """The quantile bins of one card; ``names`` are the features that are counted.

    ``known`` has what the card says of each of them. ``identity`` tells bins from those of
    another card: a model may be removed, and another be sealed under its name and version.
    """

    def __init__(self, features: Sequence[Feature], found: FeatureBins) -> None:
        self._columns = np.array(found.columns, dtype=np.intp)
        edges = np.array(found.edges, dtype=float).reshape(-1, len(LEVELS)).T
        # A card has six digits: the very value that an edge was rounded from is not beyond it.
        self._edges = edges + 5e-6 * np.abs(edges)
        self.names = tuple(features[index].name for index in found.columns)
        self._all = np.arange(len(self.names))
        self.identity = f"{crc32(repr((self.names, found)).encode()):08x}"
        whole = [features[index].dtype != "float" for index in found.columns]
        self.known = [_known(*each) for each in zip(edges.T.tolist(), whole, strict=True)]

    @property
    def shape(self) -> tuple[int, int]:
        """Features and bins: the shape of counts."""
        return len(self.names), len(SHARES)

    def empty(self) -> Counts:
        """Return counts of nothing, (features, bins)."""
        return np.zeros(self.shape, dtype=np.int64)

    def add(self, counts: Counts, rows: Any) -> None:
        """Count rows, (n, columns), at most a thousand; missing values are in no bin."""
        taken = _numbers(rows, self._columns)
        if len(taken) == 1:
            index = (taken[0] > self._edges).sum(axis=0)
            counts[self._all, index] += ~np.isnan(taken[0])
            return
        index = (taken[:, None, :] > self._edges).sum(axis=1)
        index[np.isnan(taken)] = -1
        for number in range(len(SHARES)):
            counts[:, number] += (index == number).sum(axis=0)


def _numbers(rows: Any, columns: Any) -> Any:
    if not isinstance(rows, np.ndarray):
        return rows.iloc[:_MAX_ROWS, columns].to_numpy(dtype=float, na_value=np.nan)
    return rows[:_MAX_ROWS, columns].astype(float, copy=False)


def _known(edges: Sequence[float], whole: bool) -> Known:
    """Return what quantile ``edges`` say of a feature, of whole numbers or not.

    At least the level of an edge is up to it, and no more than the next level, for that has
    another edge. Of whole numbers one value alone holds a part of what lies between two levels.
    """
    above = [*LEVELS[1:], 1.0]
    first, low, high = [0], [], []
    for index, edge in enumerate(edges):
        following = edges[index + 1] if index + 1 < len(edges) else edge + 1.0
        if following <= edge:
            continue  # the last of equal edges speaks for all of them
        tied = index > 0 and edges[index - 1] >= edge
        room = 1.0 if tied else 1.0 / max(1.0, following - edge) if whole else 0.0
        first.append(index + 1)
        low.append(LEVELS[index])
        high.append(LEVELS[index] + room * (above[index] - LEVELS[index]))
    return Known(np.array(first), np.array(low), np.array(high))


def population_stability(bins: Bins, counts: Counts) -> list[FeatureDrift]:
    """Return the index of each feature, the largest first; [] where rows are too few.

    ``counts`` is (features, bins).
    """
    found = []
    for name, known, counted in zip(bins.names, bins.known, counts, strict=True):
        rows = int(counted.sum())
        if rows >= MIN_ROWS:
            found.append(FeatureDrift(name, _index(known, counted, rows), rows))
    return sorted(found, key=lambda each: -each.psi)


def _index(known: Known, counted: Counts, rows: int) -> float:
    joined = np.add.reduceat(counted, known.first)
    # Half a row more in each bin, so that an empty one is no infinity; nor is one that the card
    # says is empty.
    half = 0.5 / (rows + 0.5 * len(joined))
    actual = joined * (2 * half) + half
    up_to = np.clip(np.cumsum(actual)[:-1], known.low, known.high)
    expected = np.maximum(np.diff(up_to, prepend=0.0, append=1.0), half)
    return float(((actual - expected) * np.log(actual / expected)).sum())
