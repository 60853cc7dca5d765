"""Data drift: how far requests have moved from what the model was trained on, by feature.

The population stability index (PSI; Siddiqi, "Credit Risk Scorecards", 2006): rows are counted
into the quantile bins of the signed card, whose shares e are known; with the shares a of now it is
the sum of (a - e) ln(a / e), in nats. Below 0.1 is nothing, above 0.25 the model answers about
other data than it learned from.

Where many rows have one value, several edges of the card are one number: the bins between them are
one bin, and how many rows are at most that number the card knows only within two levels. What it
does not know is no drift.

Counts of several workers add up exactly. Values are not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from secureml.kit.protocols import Card, Feature, Store

from .feature_bins import LEVELS, FeatureBins, bins_of

SHARES = np.diff([0.0, *LEVELS, 1.0])
MIN_ROWS = 200  # of fewer the index says more about chance than about drift
HOUR = 3600.0
_MAX_ROWS = 1000  # of one request

Counts = np.ndarray[Any, np.dtype[np.int64]]
Shares = np.ndarray[Any, np.dtype[np.float64]]

_metadata = sa.MetaData()
_drift = sa.Table(
    "anomaly_drift",
    _metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("hour", sa.Float, primary_key=True),
    sa.Column("counts", sa.JSON, nullable=False),
)


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

    ``known`` has what the card says of each of them.
    """

    def __init__(self, features: Sequence[Feature], found: FeatureBins) -> None:
        self._columns = np.array(found.columns, dtype=np.intp)
        edges = np.array(found.edges, dtype=float).reshape(-1, len(LEVELS)).T
        # A card has six digits: the very value that an edge was rounded from is not beyond it.
        self._edges = edges + 5e-6 * np.abs(edges)
        self.names = tuple(features[index].name for index in found.columns)
        self._all = np.arange(len(self.names))
        whole = [features[index].dtype != "float" for index in found.columns]
        self.known = [_known(*each) for each in zip(edges.T.tolist(), whole, strict=True)]

    def empty(self) -> Counts:
        """Return counts of nothing, (features, bins)."""
        return np.zeros((len(self.names), len(SHARES)), dtype=np.int64)

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


class DriftCounters:
    """What one worker has counted and not yet written, by model and version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bins: dict[tuple[str, str], Bins | None] = {}
        self._counts: dict[tuple[str, str], Counts] = {}

    def count(self, model: str, version: str, card: Card, rows: Any) -> None:
        """Count the rows of an answered request; a card sealed without a table has no bins."""
        key = (model, version)
        if key not in self._bins:
            found = bins_of(card)
            self._bins[key] = Bins(card.features, found) if found is not None else None
        bins = self._bins[key]
        if bins is None:
            return
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = bins.empty()
            bins.add(counts, rows)

    def take(self) -> Mapping[tuple[str, str], Counts]:
        """Return what was counted since the last time."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def put_back(self, taken: Mapping[tuple[str, str], Counts]) -> None:
        """Keep what could not be written."""
        with self._lock:
            for key, counts in taken.items():
                self._counts[key] = self._counts.get(key, 0) + counts


class DriftStore:
    """Counts of the last ``window`` seconds, by model, version and hour, of all workers."""

    def __init__(self, store: Store, now: Callable[[], float], window: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._window = store, now, window

    def add(self, taken: Mapping[tuple[str, str], Counts]) -> None:
        """Add what one worker counted, and delete what is older than the window."""
        if not taken:
            return
        hour = self._now() // HOUR * HOUR
        with self._store.begin(durable=False) as connection:
            for (model, version), counts in taken.items():
                self._add(connection, model, version, hour, counts)
            connection.execute(_drift.delete().where(_drift.c.hour < hour - self._window))

    def _add(
        self, connection: sa.Connection, model: str, version: str, hour: float, counts: Counts
    ) -> None:
        here = sa.and_(_drift.c.model == model, _drift.c.version == version, _drift.c.hour == hour)
        query = sa.select(_drift.c.counts).where(here).with_for_update()
        before = connection.execute(query).scalar_one_or_none()
        if before is None:
            row = {"model": model, "version": version, "hour": hour, "counts": counts.tolist()}
            connection.execute(_drift.insert().values(row))
            return
        added = (np.array(before, dtype=np.int64) + counts).tolist()
        connection.execute(_drift.update().where(here).values(counts=added))

    def total(self, model: str, version: str) -> Counts | None:
        """Return the counts of one version in the window, (features, bins), None for none."""
        query = sa.select(_drift.c.counts).where(
            _drift.c.model == model,
            _drift.c.version == version,
            _drift.c.hour > self._now() - self._window - HOUR,
        )
        with self._store.read() as connection:
            rows = connection.execute(query).scalars().all()
        if not rows:
            return None
        found: Counts = np.sum([np.array(row, dtype=np.int64) for row in rows], axis=0)
        return found
