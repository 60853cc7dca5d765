"""Timed bans for those who go on after many refusals: each one longer than the one before.

Kept in the store, so that they outlive a restart and hold on every host; read again only when
the store says that one changed, so a ban costs no request a query. Knows neither Flask nor the
pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.watched_table import WatchedTable

TOPIC = "rate_limit_bans"
MOST = 10_000  # strangers choose how many addresses they come from

_metadata = sa.MetaData()
_table = sa.Table(
    "rate_limit_bans",
    _metadata,
    sa.Column("subject", sa.String(128), primary_key=True),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("reason", sa.String(128), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is kept out, such as ``client:acme`` or ``address:192.0.2.7``; times in epoch seconds.

    ``level`` 1 is the first in a row.
    """

    subject: str
    level: int
    since: float
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class Terms:
    """How long the first ban is and the longest, and after how much quiet one is the first again.

    All in seconds.
    """

    first: float = 60.0
    longest: float = 3600.0
    forget: float = 86400.0

    def length(self, level: int) -> float:
        """Return how long a ban of that level is: each is twice the one before."""
        return min(self.longest, self.first * 2.0 ** min(level - 1, 40))


class Bans:
    """Says who is kept out until when; adds and lifts."""

    def __init__(self, store: Store, now: Callable[[], float], terms: Terms) -> None:
        store.register(_metadata)
        self._store, self._now, self._terms = store, now, terms
        self._until = WatchedTable(store, TOPIC, self._read)

    def current(self) -> Mapping[str, float]:
        """Return when each ban ends; some may be over. Raises what a store raises that is away."""
        return self._until.current()

    def known(self) -> Mapping[str, float]:
        """Return what ``current`` last returned, for when the store cannot be asked."""
        return self._until.last() or {}

    def _read(self) -> dict[str, float]:
        with self._store.read() as connection:
            rows = connection.execute(sa.select(_table.c.subject, _table.c.until))
            return {row.subject: row.until for row in rows}

    def add(self, subject: str, reason: str) -> Ban | None:
        """Ban someone, for longer than the last time; None where one already holds."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            query = _table.select().where(_table.c.subject == subject).with_for_update()
            row = connection.execute(query).first()
            if row is not None and row.until > now:
                return None
            recent = row is not None and now - row.until < self._terms.forget
            level = row.level + 1 if row is not None and recent else 1
            ban = Ban(subject, level, now, now + self._terms.length(level), reason)
            connection.execute(_table.delete().where(_table.c.subject == subject))
            self._make_room(connection, now)
            connection.execute(_table.insert().values(**_columns(ban)))
            self._store.touch(connection, TOPIC)
        return ban

    def lift(self, subject: str) -> bool:
        """End a ban and forget the ones before; tell whether there was one."""
        with self._store.begin() as connection:
            gone = connection.execute(_table.delete().where(_table.c.subject == subject))
            self._store.touch(connection, TOPIC)
        return gone.rowcount > 0

    def list(self, *, past: bool = False) -> list[Ban]:
        """Return the bans that hold, or all that are remembered, the latest first."""
        query = _table.select().order_by(_table.c.since.desc(), _table.c.subject)
        if not past:
            query = query.where(_table.c.until > self._now())
        with self._store.read() as connection:
            return [Ban(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's documented name for it

    def _make_room(self, connection: sa.Connection, now: float) -> None:
        quiet = now - self._terms.forget
        connection.execute(_table.delete().where(_table.c.until < quiet))
        (count,) = connection.execute(sa.select(sa.func.count()).select_from(_table)).one()
        if count >= MOST:
            soonest = sa.select(_table.c.subject).order_by(_table.c.until).limit(count - MOST + 1)
            found = [row.subject for row in connection.execute(soonest)]
            connection.execute(_table.delete().where(_table.c.subject.in_(found)))


def _columns(ban: Ban) -> dict[str, object]:
    return {name: getattr(ban, name) for name in Ban.__slots__}
