"""Timed bans for callers who go on after many refusals: each ban longer than the one before.

Refusals are counted like requests, over all workers. Bans are kept in the store, so that they
survive a restart and hold on every host; they are read again only when the store says that one
changed, so a ban costs no request a query. A store that is unavailable bans nobody and lifts no
ban that is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.watched_table import WatchedTable

from .fallback import BoundLimit, FallbackLimiter
from .rules import AppliedLimit, Rule

TOPIC = "rate_limit_bans"
MAX_BANS = 10_000  # strangers choose how many addresses they come from

log = logging.getLogger("secureml.rate_limit")
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
    """A ban of ``client:acme`` or ``address:192.0.2.7``; times in epoch seconds.

    ``level`` 1 is the first in a row; ``reason`` names the limit that was exceeded.
    """

    subject: str
    level: int
    since: float
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class BanPolicy:
    """Seconds: of the first ban, of the longest, and without one until the next is the first."""

    initial: float = 60.0
    maximum: float = 3600.0
    reset_after: float = 86400.0

    def duration(self, level: int) -> float:
        """Return how long a ban of that level is: each is twice the one before."""
        return min(self.maximum, self.initial * 2.0 ** min(level - 1, 40))


class BanList:
    """The bans in the store."""

    def __init__(self, store: Store, now: Callable[[], float], policy: BanPolicy) -> None:
        store.register(_metadata)
        self._store, self._now, self._policy = store, now, policy
        self._until = WatchedTable(store, TOPIC, self._read)

    def current(self) -> Mapping[str, float]:
        """Return when each ban ends; some may be over. Raises what an unavailable store raises."""
        return self._until.current()

    def last_known(self) -> Mapping[str, float]:
        """Return what ``current`` last returned, for when the store is unavailable."""
        return self._until.last() or {}

    def _read(self) -> dict[str, float]:
        with self._store.read() as connection:
            rows = connection.execute(sa.select(_table.c.subject, _table.c.until))
            return {row.subject: row.until for row in rows}

    def add(self, subject: str, reason: str) -> Ban | None:
        """Ban a subject, for longer than the last time; None where it is banned already."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            query = _table.select().where(_table.c.subject == subject).with_for_update()
            row = connection.execute(query).first()
            if row is not None and row.until > now:
                return None
            recent = row is not None and now - row.until < self._policy.reset_after
            level = row.level + 1 if row is not None and recent else 1
            ban = Ban(subject, level, now, now + self._policy.duration(level), reason)
            connection.execute(_table.delete().where(_table.c.subject == subject))
            self._make_room(connection, now)
            values = {name: getattr(ban, name) for name in Ban.__slots__}
            connection.execute(_table.insert().values(**values))
            self._store.touch(connection, TOPIC)
        return ban

    def lift(self, subject: str) -> bool:
        """End a ban and forget the ones before; tell whether there was one."""
        with self._store.begin() as connection:
            deleted = connection.execute(_table.delete().where(_table.c.subject == subject))
            self._store.touch(connection, TOPIC)
        return deleted.rowcount > 0

    def list(self, *, past: bool = False) -> list[Ban]:
        """Return the bans that hold, or all that are remembered, the latest first."""
        query = _table.select().order_by(_table.c.since.desc(), _table.c.subject)
        if not past:
            query = query.where(_table.c.until > self._now())
        with self._store.read() as connection:
            return [Ban(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's documented name for it

    def _make_room(self, connection: sa.Connection, now: float) -> None:
        forgotten = now - self._policy.reset_after
        connection.execute(_table.delete().where(_table.c.until < forgotten))
        (count,) = connection.execute(sa.select(sa.func.count()).select_from(_table)).one()
        if count >= MAX_BANS:
            extra = count - MAX_BANS + 1
            soonest = sa.select(_table.c.subject).order_by(_table.c.until).limit(extra)
            found = [row.subject for row in connection.execute(soonest)]
            connection.execute(_table.delete().where(_table.c.subject.in_(found)))


class Penalty:
    """Bans a subject after too many refusals; ``rule`` counts them, None never bans.

    ``unavailable`` is what the store raises when it cannot be reached.
    """

    def __init__(
        self,
        bans: BanList,
        limiter: FallbackLimiter,
        rule: Rule | None,
        now: Callable[[], float],
        unavailable: type[Exception],
    ) -> None:
        self._bans, self._limiter, self._rule = bans, limiter, rule
        self._now, self._unavailable = now, unavailable

    def seconds_left(self, subject: str) -> float:
        """Return how many seconds a subject is still banned; 0.0 for one that is not."""
        try:
            ends = self._bans.current().get(subject)
        except self._unavailable:
            ends = self._bans.last_known().get(subject)
        return max(0.0, ends - self._now()) if ends is not None else 0.0

    def count_refusal(self, subject: str, rule: Rule) -> Ban | None:
        """Count a refusal; return the ban that it brought, if it did."""
        bound = self.refusals(subject)
        if bound is None:
            return None
        result = self._limiter.hit(bound, 1)
        if result is None or result.allowed:
            return None
        try:
            return self._bans.add(subject, rule.name)
        except self._unavailable as error:
            log.warning("%s could not be banned: %s", subject, error)
            return None

    def refusals(self, subject: str) -> BoundLimit | None:
        """Return the limit that counts a subject's refusals; None for everyone together."""
        if self._rule is None or not subject:
            return None
        return self._limiter.bind(AppliedLimit(self._rule, subject, f"refusals|{subject}"))
