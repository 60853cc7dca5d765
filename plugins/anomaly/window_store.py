"""Windows in the store: what each worker counted, added up, scored once, and kept a while.

Each worker writes rows of its own, so no writer waits for another's numbers. Complete windows
are scored by one worker at a time, the one that holds the lease. The lease only saves work: what
was scored is decided by the mark, which is moved in the same transaction as the scores, and only
from where the scoring began. A worker that dies takes no window with it, and of two that score
the same windows one has done it.

A row that cannot be read, because another version of this plugin wrote it or it is damaged, does
not count and stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import sqlalchemy as sa

from secureml.kit import strict_json
from secureml.kit.protocols import Store

from .clock_skew import CLOCK_SKEW, is_ahead
from .window import Window

log = logging.getLogger("secureml.anomaly")

MAX_SCORES = 20_000  # subjects; unknown callers choose how many addresses they come from
_MAX_PARAMETERS = 1000  # of one statement: SQLite takes 32 766, PostgreSQL 65 535

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
# One statement for both databases: of two workers that come first, one makes the row. What was
# counted before the first lease is not called unusual after it.
_FIRST_LEASE = sa.text(
    "INSERT INTO anomaly_scorer (id, scored_until, holder, lease_until) "
    "VALUES (1, :now, '', :now) ON CONFLICT (id) DO NOTHING"
)


class SubjectScore(NamedTuple):
    """The latest score of a subject; ``streak`` is how many windows in a row were unusual.

    ``reasons`` are (feature, value, low, high); [] where they cannot be read.
    """

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
        """Add what one worker counted, and delete the oldest of too many.

        Here and not where windows are scored: before the training nothing is scored, and
        unknown callers would fill the store. The last moments may be lost with the power.
        Windows counted before the clock was set back are dropped, here and in the store: they
        would be added to those of the same time when it comes again.
        """
        if not windows:
            return
        now = self._now()
        rows = [
            {"subject": subject, "start": start, "counts": window.to_json()}
            for (subject, start), window in windows.items()
            if not is_ahead(start, now)
        ]
        with self._store.begin(durable=False) as connection:
            connection.execute(_windows.delete().where(_windows.c.start > now + CLOCK_SKEW))
            if rows:
                connection.execute(_windows.insert(), rows)
            newest = connection.execute(sa.select(sa.func.max(_windows.c.id))).scalar() or 0
            connection.execute(_windows.delete().where(_windows.c.id <= newest - self._max_rows))

    def lease(self, holder: str, seconds: float) -> float | None:
        """Return until when windows were scored if ``holder`` has the lease now, else None.

        A lease that ends later than it could was taken before the clock was set back: it is free.
        """
        now = self._now()
        free = sa.or_(
            _lease.c.holder == holder,
            _lease.c.lease_until <= now,
            _lease.c.lease_until > now + seconds + CLOCK_SKEW,
        )
        with self._store.begin(durable=False) as connection:
            connection.execute(_FIRST_LEASE, {"now": now})
            taken = connection.execute(
                _lease.update().where(free).values(holder=holder, lease_until=now + seconds)
            )
            if not taken.rowcount:
                return None
            mark = float(connection.execute(sa.select(_lease.c.scored_until)).scalar_one())
            if is_ahead(mark, now):
                mark = _begin_anew(connection, mark, now)
        return mark

    def complete(self, since: float, until: float) -> dict[tuple[str, float], Window]:
        """Return the windows that began in this span of time, all workers added up."""
        query = sa.select(
            _windows.c.subject, _windows.c.start, sa.cast(_windows.c.counts, sa.Text).label("text")
        ).where(_windows.c.start >= since, _windows.c.start < until)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(_windows.c.start)).all()
        found: dict[tuple[str, float], Window] = {}
        unreadable = 0
        for row in rows:
            window = _read_window(row.text)
            if window is None:
                unreadable += 1
                continue
            found.setdefault((row.subject, row.start), Window()).merge(window)
        if unreadable:
            log.warning(
                "%d rows of the table anomaly_windows cannot be read and do not count: they are "
                "damaged, or another version wrote them; fix: run one version on this store",
                unreadable,
            )
        return found

    def scores(self, subjects: Iterable[str] | None = None) -> dict[str, SubjectScore]:
        """Return the latest score of each subject, or of all."""
        text = sa.cast(_scores.c.reasons, sa.Text).label("text")
        query = sa.select(
            _scores.c.subject, _scores.c.start, _scores.c.score, _scores.c.streak, text
        )
        with self._store.read() as connection:
            rows = [
                row for part in _parts(query, subjects) for row in connection.execute(part).all()
            ]
        return {
            row.subject: SubjectScore(
                row.subject, row.start, row.score, row.streak, _read_reasons(row.text)
            )
            for row in rows
        }

    def save_scores(
        self,
        connection: sa.Connection,
        since: float,
        scored_until: float,
        scores: Iterable[SubjectScore],
    ) -> bool:
        """Write scores and move the mark from ``since``, in the caller's transaction.

        Returns False, and writes nothing, where another worker has moved it: these windows are
        scored. ``scores`` are in the order of time; the last of a subject is kept.
        """
        moved = connection.execute(
            _lease.update()
            .where(_lease.c.scored_until == since, _lease.c.scored_until < scored_until)
            .values(scored_until=scored_until)
        )
        if not moved.rowcount:
            return False
        latest = {score.subject: score._asdict() for score in scores}
        if latest:
            mine = _scores.c.subject == sa.bindparam("who")
            connection.execute(_scores.delete().where(mine), [{"who": who} for who in latest])
            connection.execute(_scores.insert(), list(latest.values()))
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


def _begin_anew(connection: sa.Connection, mark: float, now: float) -> float:
    """Move the mark back to a clock that was set back, and return it.

    What was counted in a time that is to come again is deleted: added to what is counted then, it
    would be twice as much as anybody did.
    """
    log.warning(
        "the clock was set back by more than %.0f seconds, and windows counted in that time do "
        "not count; fix: keep the time of this host with NTP",
        mark - now,
    )
    connection.execute(_windows.delete().where(_windows.c.start > now))
    connection.execute(_scores.update().where(_scores.c.start > now).values(start=now))
    connection.execute(_lease.update().values(scored_until=now))
    return now


def _parts(query: sa.Select[Any], subjects: Iterable[str] | None) -> Iterator[sa.Select[Any]]:
    """Yield a query for these subjects in parts that a database takes."""
    if subjects is None:
        yield query
        return
    names = list(subjects)
    for first in range(0, len(names), _MAX_PARAMETERS):
        yield query.where(_scores.c.subject.in_(names[first : first + _MAX_PARAMETERS]))


def _read_window(text: str) -> Window | None:
    """Return the counts of a row, None where they cannot be read."""
    try:
        return Window.from_json(strict_json.loads_object(text))
    except (TypeError, ValueError):
        return None


def _read_reasons(text: str) -> list[Any]:
    """Return the reasons of a row, [] where they cannot be read: the score counts without."""
    try:
        found = strict_json.loads(text)
        return [
            [str(name), float(value), float(low), float(high)] for name, value, low, high in found
        ]
    except (TypeError, ValueError, OverflowError):
        return []
