"""What all workers counted for drift, by model, version and hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import sqlalchemy as sa

from secureml.kit.protocols import Store

from .drift import Counts

HOUR = 3600.0

_metadata = sa.MetaData()
_table = sa.Table(
    "anomaly_drift",
    _metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("hour", sa.Float, primary_key=True),
    sa.Column("counts", sa.JSON, nullable=False),
)


class DriftLedger:
    """Counts of the last ``span`` seconds, added up over workers."""

    def __init__(self, store: Store, now: Callable[[], float], span: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._span = store, now, span

    def add(self, taken: Mapping[tuple[str, str], Counts]) -> None:
        """Add what one worker counted, and forget what is older than the span."""
        if not taken:
            return
        hour = self._now() // HOUR * HOUR
        with self._store.begin(durable=False) as connection:
            for (model, version), counts in taken.items():
                self._add(connection, model, version, hour, counts)
            connection.execute(_table.delete().where(_table.c.hour < hour - self._span))

    def _add(
        self, connection: sa.Connection, model: str, version: str, hour: float, counts: Counts
    ) -> None:
        here = sa.and_(_table.c.model == model, _table.c.version == version, _table.c.hour == hour)
        asked = sa.select(_table.c.counts).where(here).with_for_update()
        before = connection.execute(asked).scalar_one_or_none()
        if before is None:
            row = {"model": model, "version": version, "hour": hour, "counts": counts.tolist()}
            connection.execute(_table.insert().values(row))
            return
        whole = (np.array(before, dtype=np.int64) + counts).tolist()
        connection.execute(_table.update().where(here).values(counts=whole))

    def total(self, model: str, version: str) -> Counts | None:
        """Return the counts of one version over the span, None where there are none."""
        asked = sa.select(_table.c.counts).where(
            _table.c.model == model,
            _table.c.version == version,
            _table.c.hour > self._now() - self._span - HOUR,
        )
        with self._store.read() as connection:
            rows = connection.execute(asked).scalars().all()
        if not rows:
            return None
        found: Counts = np.sum([np.array(row, dtype=np.int64) for row in rows], axis=0)
        return found
