"""Windows in the store: what each worker counted, added up, scored once, and kept a while.

Each worker writes rows of its own, so no writer waits for another's numbers. Complete windows
are scored by one worker at a time: it holds a lease, and moves the mark of what is scored in the
same transaction as the scores, so a worker that dies takes no window with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .window import Window

MAX_SCORES = 20_000  # subjects, of which strangers may be as count as they have addresses

_metadata = sa.MetaData()
_windows = sa.Table(
    "anomaly_windows",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.String(128), nullable=False, index=True),
    sa.Column("start", sa.Float, nullable=False, index=True),
    sa.Column("counts", sa.JSON, nullable=False),
)
_lease = sa.Table(
    "anomaly_scorer",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("scored_until", sa.Float, nullable=False),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
)
_scores = sa.Table(
    "anomaly_scores",
    _metadata,
    sa.Column("subject", sa.String(128), primary_key=True),
    sa.Column("start", sa.Float, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("streak", sa.Integer, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
)


class SubjectScore(NamedTuple):
    """The latest score of a subject; ``streak`` is how count windows in a row were unusual."""

    subject: str
    start: float
    score: float
    streak: int
    reasons: list[Any]


class WindowStore:
    """Where windows are kept, at most ``max_rows`` of them; ``holder`` names a worker."""

    def __init__(self, store: Store, now: Callable[[], float], max_rows: int) -> None:
        store.register(_metadata)
        self._store, self._now, self._max_rows = store, now, max_rows

    def write(self, windows: Mapping[tuple[str, float], Window]) -> None:
        """Add what one worker counted, and delete the oldest of too count.

        Here and not where windows are scored: before the training nothing is scored, and
        strangers would fill the store. The last moments may be lost with the power.
        """
        rows = [
            {"subject": subject, "start": start, "counts": window.to_json()}
            for (subject, start), window in windows.items()
        ]
        if rows:
            with self._store.begin(durable=False) as connection:
                connection.execute(_windows.insert(), rows)
                newest = connection.execute(sa.select(sa.func.max(_windows.c.id))).scalar() or 0
                connection.execute(
                    _windows.delete().where(_windows.c.id <= newest - self._max_rows)
                )

    def lease(self, holder: str, seconds: float) -> float | None:
        """Return until when windows were scored if ``holder`` has the lease now, else None."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            row = connection.execute(sa.select(_lease)).first()
            if row is None:
                # What was counted before the first lease is not called unusual after it.
                first = {
                    "id": 1,
                    "scored_until": now,
                    "holder": holder,
                    "lease_until": now + seconds,
                }
                connection.execute(_lease.insert().values(first))
                return now
            taken = connection.execute(
                _lease.update()
                .where(sa.or_(_lease.c.holder == holder, _lease.c.lease_until <= now))
                .values(holder=holder, lease_until=now + seconds)
            )
            return float(row.scored_until) if taken.rowcount else None

    def complete(self, since: float, until: float) -> dict[tuple[str, float], Window]:
        """Return the windows that began in this span of time, all workers added up."""
        query = sa.select(_windows).where(_windows.c.start >= since, _windows.c.start < until)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(_windows.c.start)).all()
        found: dict[tuple[str, float], Window] = {}
        for row in rows:
            found.setdefault((row.subject, row.start), Window()).merge(Window.from_json(row.counts))
        return found

    def scores(self, subjects: Iterable[str] | None = None) -> dict[str, SubjectScore]:
        """Return the latest score of each subject, or of all."""
        query = sa.select(_scores)
        if subjects is not None:
            query = query.where(_scores.c.subject.in_(list(subjects)))
        with self._store.read() as connection:
            return {row.subject: SubjectScore(*row) for row in connection.execute(query)}

    def save_scores(
        self,
        connection: sa.Connection,
        holder: str,
        scored_until: float,
        scores: Iterable[SubjectScore],
    ) -> bool:
        """Write scores and move the mark, in the caller's transaction; False without the lease."""
        moved = connection.execute(
            _lease.update()
            .where(_lease.c.holder == holder, _lease.c.scored_until < scored_until)
            .values(scored_until=scored_until)
        )
        if not moved.rowcount:
            return False
        for score in scores:
            connection.execute(_scores.delete().where(_scores.c.subject == score.subject))
            connection.execute(_scores.insert().values(score._asdict()))
        _evict_oldest(connection)
        return True

    def begin(self) -> AbstractContextManager[sa.Connection]:
        """Return a transaction for `save_scores` and what goes with it."""
        return self._store.begin()


def _evict_oldest(connection: sa.Connection) -> None:
    """Delete the oldest scores: each address that was ever scored has one."""
    count = connection.execute(sa.select(sa.func.count()).select_from(_scores)).scalar_one()
    if count > MAX_SCORES:
        oldest = sa.select(_scores.c.subject).order_by(_scores.c.start, _scores.c.subject)
        surplus = oldest.limit(count - MAX_SCORES)
        connection.execute(_scores.delete().where(_scores.c.subject.in_(surplus)))
