"""How many rows fell into each bin: counted in a worker, added up in the store by the hour.

Counts of several workers add up exactly. Values are not kept. A row of the store that cannot be
read, because another version of this plugin wrote it or it is damaged, does not count and stops
nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from secureml.kit import strict_json
from secureml.kit.protocols import Card, Store

from .drift import Bins, Counts, FeatureDrift, population_stability
from .feature_bins import bins_of

log = logging.getLogger("secureml.anomaly")

HOUR = 3600.0
_MAX_COUNT = 2**53  # beyond what can be counted; sums of smaller ones fit 64 bits

_metadata = sa.MetaData()
_drift = sa.Table(
    "anomaly_drift",
    _metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),  # and the identity of its bins
    sa.Column("hour", sa.Float, primary_key=True),
    sa.Column("counts", sa.JSON, nullable=False),
)
# One statement for both databases: of two workers that come first in an hour, one makes the row.
_FIRST = sa.text(
    "INSERT INTO anomaly_drift (model, version, hour, counts) "
    "VALUES (:model, :version, :hour, '[]') ON CONFLICT (model, version, hour) DO NOTHING"
)


class BinsKey(NamedTuple):
    """Whose counts they are: those of a model, its version and the bins of its card."""

    model: str
    version: str

    @classmethod
    def of(cls, model: str, version: str, bins: Bins) -> BinsKey:
        """Return the key of counts in these bins."""
        return cls(model, f"{version}:{bins.identity}")


class DriftCounters:
    """What one worker has counted and not yet written."""

    def __init__(self) -> None:
        self._bins: dict[str, tuple[Card, BinsKey, Bins] | tuple[Card, None, None]] = {}
        self.start_empty()

    def start_empty(self) -> None:
        """Begin with nothing, also after a fork: what the parent counted it writes itself."""
        self._lock = threading.Lock()
        self._counts: dict[BinsKey, Counts] = {}

    def count(self, model: str, version: str, card: Card, rows: Any) -> None:
        """Count the rows of an answered request, (n, columns); without bins on the card, none."""
        known = self._bins.get(model)
        if known is None or known[0] is not card:
            known = self._bins[model] = _bins_with_key(model, version, card)
        _, key, bins = known
        if key is None or bins is None:
            return
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = bins.empty()
            bins.add(counts, rows)

    def take(self) -> Mapping[BinsKey, Counts]:
        """Return what was counted since the last time."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def put_back(self, taken: Mapping[BinsKey, Counts]) -> None:
        """Keep what could not be written."""
        with self._lock:
            for key, counts in taken.items():
                self._counts[key] = self._counts.get(key, 0) + counts


def _bins_with_key(
    model: str, version: str, card: Card
) -> tuple[Card, BinsKey, Bins] | tuple[Card, None, None]:
    found = bins_of(card)
    if found is None:
        return card, None, None
    bins = Bins(card.features, found)
    return card, BinsKey.of(model, version, bins), bins


class DriftStore:
    """Counts of the last ``window`` seconds, by model, version and hour, of all workers."""

    def __init__(self, store: Store, now: Callable[[], float], window: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._window = store, now, window

    def add(self, taken: Mapping[BinsKey, Counts]) -> None:
        """Add what one worker counted, and delete what is outside the window.

        An hour further ahead than the window is long was counted before the clock was set back.
        """
        if not taken:
            return
        hour = self._now() // HOUR * HOUR
        outside = sa.or_(_drift.c.hour < hour - self._window, _drift.c.hour > hour + self._window)
        with self._store.begin(durable=False) as connection:
            for key, counts in taken.items():
                _add(connection, key, hour, counts)
            connection.execute(_drift.delete().where(outside))

    def total(self, key: BinsKey, shape: tuple[int, int]) -> Counts | None:
        """Return the counts in the window, (features, bins) as in ``shape``, None for none."""
        now = self._now()
        query = sa.select(sa.cast(_drift.c.counts, sa.Text)).where(
            _drift.c.model == key.model,
            _drift.c.version == key.version,
            _drift.c.hour > now - self._window - HOUR,
            _drift.c.hour <= now + self._window,
        )
        with self._store.read() as connection:
            texts = connection.execute(query).scalars().all()
        counts = [each for each in (_read(text, shape) for text in texts) if each is not None]
        if not counts:
            return None
        found: Counts = np.sum(counts, axis=0)
        return found

    def drift_of(self, model: str, version: str, card: Card) -> list[FeatureDrift]:
        """Return how far each feature has moved from a card, the largest first; [] for unknown."""
        _, key, bins = _bins_with_key(model, version, card)
        counts = self.total(key, bins.shape) if key is not None and bins is not None else None
        return [] if bins is None or counts is None else population_stability(bins, counts)


def _add(connection: sa.Connection, key: BinsKey, hour: float, counts: Counts) -> None:
    model, version = key
    connection.execute(_FIRST, {"model": model, "version": version, "hour": hour})
    here = sa.and_(_drift.c.model == model, _drift.c.version == version, _drift.c.hour == hour)
    query = sa.select(sa.cast(_drift.c.counts, sa.Text)).where(here).with_for_update()
    text = connection.execute(query).scalar_one()
    before = _read(text, counts.shape) if text != "[]" else np.zeros_like(counts)
    if before is None:
        log.warning(
            "a row of the table anomaly_drift for model %s cannot be read and is begun anew: it "
            "is damaged, or another version wrote it; fix: run one version on this store",
            model,
        )
        before = np.zeros_like(counts)
    connection.execute(_drift.update().where(here).values(counts=(before + counts).tolist()))


def _read(text: str, shape: tuple[int, ...]) -> Counts | None:
    """Return the counts of a row, None where they cannot be read or have another shape."""
    try:
        rows = strict_json.loads(text)
        if not all(type(count) is int and 0 <= count < _MAX_COUNT for row in rows for count in row):
            return None
        found: Counts = np.array(rows, dtype=np.int64)
    except (TypeError, ValueError):
        return None
    return found if found.shape == shape else None
