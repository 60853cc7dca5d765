"""Windows in the store: what each worker counted, added up, judged once, and kept a while.

Each worker writes rows of its own, so no writer waits for another's numbers. Whole windows
are judged by one worker at a time: it holds a lease, and moves the mark of what is judged in
the same transaction as the verdicts, so a worker that dies takes no window with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .window import Window

MOST_VERDICTS = 20_000  # subjects, of which strangers may be as many as they have addresses

_metadata = sa.MetaData()
_windows = sa.Table(
    "anomaly_windows",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.String(128), nullable=False, index=True),
    sa.Column("start", sa.Float, nullable=False, index=True),
    sa.Column("counts", sa.JSON, nullable=False),
)
_judge = sa.Table(
    "anomaly_judge",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("judged", sa.Float, nullable=False),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)
_verdicts = sa.Table(
    "anomaly_verdicts",
    _metadata,
    sa.Column("subject", sa.String(128), primary_key=True),
    sa.Column("start", sa.Float, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("streak", sa.Integer, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
)


class Standing(NamedTuple):
    """The last verdict on a subject; ``streak`` is how many windows in a row were unusual."""

    subject: str
    start: float
    score: float
    streak: int
    reasons: list[Any]


class Ledger:
    """Where windows are kept; ``holder`` names this worker, ``keep`` is how many rows stay."""

    def __init__(self, store: Store, now: Callable[[], float], keep: int) -> None:
        store.register(_metadata)
        self._store, self._now, self._keep = store, now, keep

    def write(self, windows: Mapping[tuple[str, float], Window]) -> None:
        """Add what one worker counted, and let go of the oldest beyond what is kept.

        Here and not where windows are judged: until somebody trains, nobody judges, and
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
                connection.execute(_windows.delete().where(_windows.c.id <= newest - self._keep))

    def lease(self, holder: str, seconds: float) -> float | None:
        """Return the end of what is judged if ``holder`` may judge on, else None."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            row = connection.execute(sa.select(_judge)).first()
            if row is None:
                # Whatever was counted before the first judge is not called unusual after it.
                first = {"id": 1, "judged": now, "holder": holder, "until": now + seconds}
                connection.execute(_judge.insert().values(first))
                return now
            taken = connection.execute(
                _judge.update()
                .where(sa.or_(_judge.c.holder == holder, _judge.c.until <= now))
                .values(holder=holder, until=now + seconds)
            )
            return float(row.judged) if taken.rowcount else None

    def whole(self, since: float, until: float) -> dict[tuple[str, float], Window]:
        """Return the windows that began in this span, those of all workers added up."""
        asked = sa.select(_windows).where(_windows.c.start >= since, _windows.c.start < until)
        with self._store.read() as connection:
            rows = connection.execute(asked.order_by(_windows.c.start)).all()
        found: dict[tuple[str, float], Window] = {}
        for row in rows:
            found.setdefault((row.subject, row.start), Window()).merge(Window.from_json(row.counts))
        return found

    def standings(self, subjects: Iterable[str] | None = None) -> dict[str, Standing]:
        """Return the last verdict on each subject, or on all."""
        asked = sa.select(_verdicts)
        if subjects is not None:
            asked = asked.where(_verdicts.c.subject.in_(list(subjects)))
        with self._store.read() as connection:
            return {row.subject: Standing(*row) for row in connection.execute(asked)}

    def settle(
        self, connection: sa.Connection, holder: str, judged: float, standings: Iterable[Standing]
    ) -> bool:
        """Write verdicts and move the mark, in the caller's transaction; False if not ours now."""
        moved = connection.execute(
            _judge.update()
            .where(_judge.c.holder == holder, _judge.c.judged < judged)
            .values(judged=judged)
        )
        if not moved.rowcount:
            return False
        for standing in standings:
            row = standing._asdict()
            connection.execute(_verdicts.delete().where(_verdicts.c.subject == standing.subject))
            connection.execute(_verdicts.insert().values(row))
        _forget_oldest(connection)
        return True

    def begin(self) -> AbstractContextManager[sa.Connection]:
        """Return a transaction for `settle` and what goes with it."""
        return self._store.begin()


def _forget_oldest(connection: sa.Connection) -> None:
    """Let go of the verdicts that are oldest: each address that was ever judged has one."""
    many = connection.execute(sa.select(sa.func.count()).select_from(_verdicts)).scalar_one()
    if many > MOST_VERDICTS:
        oldest = sa.select(_verdicts.c.subject).order_by(_verdicts.c.start, _verdicts.c.subject)
        surplus = oldest.limit(many - MOST_VERDICTS)
        connection.execute(_verdicts.delete().where(_verdicts.c.subject.in_(surplus)))
