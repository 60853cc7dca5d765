"""Data drift: how far requests have moved from what the model was trained on, by feature.

The population stability index (PSI; Siddiqi, "Credit Risk Scorecards", 2006): rows are counted
into the quantile bins of the signed card, whose shares e are known; with the shares a of now it is
the sum of (a - e) ln(a / e), in nats. Below 0.1 is nothing, above 0.25 the model answers about
other data than it learned from.

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
    """One feature's index, and of how many rows."""

    feature: str
    psi: float
    rows: int


class Bins:
    """The quantile bins of one card; ``names`` are the features that are counted."""

    def __init__(self, features: Sequence[Feature], found: FeatureBins) -> None:
        self._columns = np.array(found.columns, dtype=np.intp)
        self._edges = np.array(found.edges, dtype=float).reshape(-1, len(LEVELS)).T
        self.names = tuple(features[index].name for index in found.columns)
        self._all = np.arange(len(self.names))

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


def population_stability(names: Sequence[str], counts: Counts) -> list[FeatureDrift]:
    """Return the index of each feature, the largest first; [] where rows are too few.

    ``counts`` is (features, bins).
    """
    found = []
    for name, bins in zip(names, counts, strict=True):
        rows = int(bins.sum())
        if rows >= MIN_ROWS:
            # Half a row more in each bin, so that an empty one is no infinity.
            shares = (bins + 0.5) / (rows + 0.5 * len(SHARES))
            psi = float(((shares - SHARES) * np.log(shares / SHARES)).sum())
            found.append(FeatureDrift(name, psi, rows))
    return sorted(found, key=lambda each: -each.psi)


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
