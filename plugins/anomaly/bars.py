"""Whom the guard keeps out: held until an operator says otherwise, or banned for a time.

In the store, so that all workers keep the same people out from their next request on. Whoever
is let in again is forgiven what was counted until then: it bars nobody a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.watched_table import WatchedTable

log = logging.getLogger("secureml.anomaly")

TOPIC = "anomaly"
MOST = 10_000  # rows; strangers choose how many addresses they come from
HOLD, BAN = "hold", "ban"
_LIFTED = "free"  # a row that bars nobody; `since` is when an operator said so

_metadata = sa.MetaData()
_table = sa.Table(
    "anomaly_bars",
    _metadata,
    sa.Column("subject", sa.String(128), primary_key=True),
    sa.Column("kind", sa.String(4), nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=True),
    sa.Column("why", sa.String(200), nullable=False),
)


class Bar(NamedTuple):
    """Who is kept out; ``until`` is epoch seconds, None for until it is lifted."""

    subject: str
    kind: str
    since: float
    until: float | None
    why: str


class Bars:
    """All bars, read again whenever any worker or command has changed the store."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self._bars = WatchedTable(store, TOPIC, self._read)

    def standing(self, subject: str) -> Bar | None:
        """Return the bar against a subject now; raises what the store raises."""
        found = self._bars.current().get(subject)
        return found if found is not None and self._stands(found) else None

    def list(self) -> list[Bar]:
        """Return every bar that stands."""
        return sorted(bar for bar in self._read().values() if self._stands(bar))

    def set(self, connection: sa.Connection, bar: Bar, seen: float) -> bool:
        """Keep somebody out, in the caller's transaction; a ban is replaced, a hold stays.

        Returns False, and changes nothing, where what was ``seen`` (epoch seconds) has been
        forgiven since: the judge may have read it before the operator spoke.
        """
        forgiven = sa.and_(_table.c.kind == _LIFTED, _table.c.since >= seen)
        mine = _table.c.subject == bar.subject
        if connection.execute(sa.select(_table.c.subject).where(mine, forgiven)).first():
            return False
        held = sa.and_(mine, _table.c.kind == HOLD)
        if bar.kind == HOLD and connection.execute(sa.select(_table.c.subject).where(held)).first():
            return True  # what a held one is refused since is no reason why it is held
        connection.execute(_table.delete().where(mine))
        self._make_room(connection)
        connection.execute(_table.insert().values(bar._asdict()))
        self._store.touch(connection, TOPIC)
        return True

    def _make_room(self, connection: sa.Connection) -> None:
        """Let go of bans that are over; of too many, of what was lifted and what ends soonest.

        Who is held gives way last, the one held longest: every worker reads all of them.
        """
        over = sa.and_(_table.c.kind == BAN, _table.c.until <= self._now())
        connection.execute(_table.delete().where(over))
        many = connection.execute(sa.select(sa.func.count()).select_from(_table)).scalar_one()
        if many >= MOST:
            log.warning("more than %d are kept out or were forgiven: the oldest give way", MOST)
            first = (_table.c.kind != _LIFTED, _table.c.until.is_(None), _table.c.until)
            surplus = sa.select(_table.c.subject).order_by(*first, _table.c.since)
            gone = surplus.limit(many - MOST + 1)
            connection.execute(_table.delete().where(_table.c.subject.in_(gone)))

    def lift(self, subject: str) -> bool:
        """Let somebody in again and forgive what was seen; tell whether a bar stood."""
        now = self._now()
        stands = sa.or_(_table.c.until.is_(None), _table.c.until > now)
        with self._store.begin() as connection:
            gone = connection.execute(
                _table.update()
                .where(_table.c.subject == subject, _table.c.kind != _LIFTED, stands)
                .values(kind=_LIFTED, since=now, until=now)
            ).rowcount
            self._store.touch(connection, TOPIC)
        return bool(gone)

    def forgiven(self) -> dict[str, float]:
        """Return until when (epoch seconds) a subject's windows count no more."""
        return {bar.subject: bar.since for bar in self._read().values() if bar.kind == _LIFTED}

    def _read(self) -> dict[str, Bar]:
        with self._store.read() as connection:
            rows = connection.execute(sa.select(_table)).all()
        return {row.subject: Bar(*row) for row in rows}

    def _stands(self, bar: Bar) -> bool:
        return bar.kind != _LIFTED and (bar.until is None or bar.until > self._now())
