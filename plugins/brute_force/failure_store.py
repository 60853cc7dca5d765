"""Failures, waits and trusted pairs in the store, so that all workers count as one.

A failure is a write that waits for no disk. Only a wait that begins or is lifted changes the
version of the topic, so that guessing cannot empty the caches of all workers.

Nothing is read as a whole: who waits and who is trusted is looked up by name, so a request costs
the same however many rows strangers have made. Both tables are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .backoff import NO_FAILURES, BackoffPolicy, FailureCount, next_count

TOPIC = "brute_force"
MAX_SUBJECTS = 100_000  # subjects that are counted and do not wait, and as many that do
MAX_ADDRESSES = 64  # addresses from which one identity is trusted
CACHE_SIZE = 4096  # subjects a worker need not look up again while nobody's wait has changed
_SWEEP = 256  # failures between two sweeps

_metadata = sa.MetaData()
_counts = sa.Table(
    "brute_force_counts",
    _metadata,
    sa.Column("subject", sa.String(128), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last", sa.Float, nullable=False, index=True),
    sa.Column("until", sa.Float, nullable=False, index=True),
)
_trusted = sa.Table(
    "brute_force_trusted",
    _metadata,
    sa.Column("pair", sa.String(128), primary_key=True),
    sa.Column("seen", sa.Float, nullable=False, index=True),
    sa.Column("identity", sa.String(64), nullable=False, server_default="", index=True),
)


class Wait(NamedTuple):
    """Who waits, after how many failures, and until when (epoch seconds)."""

    subject: str
    failures: int
    until: float


class _Cached(NamedTuple):
    """What is cached while no wait changes: the last end of any, and ends by subject."""

    version: int
    last_end: float
    until: dict[str, float]


class FailureStore:
    """Counts failures of subjects, and keeps pairs of identity and address that signed in."""

    def __init__(self, store: Store, now: Callable[[], float], trust_for: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._trust_for = store, now, trust_for
        self._versions: Mapping[str, int] | None = None
        self._cached = _Cached(-1, 0.0, {})
        self._since_sweep = 0

    def wait_of(self, subject: str) -> float:
        """Return the seconds a subject still waits, 0 for none; raises what the store raises."""
        cached, now = self._current(), self._now()
        if cached.last_end <= now:
            return 0.0
        until = cached.until.get(subject)
        if until is None:
            until = self._until(subject)
            if len(cached.until) >= CACHE_SIZE:
                cached.until.clear()
            cached.until[subject] = until
        return max(until - now, 0.0)

    def is_trusted(self, pair: str) -> bool:
        """Return whether this identity was verified from this address lately."""
        query = sa.select(_trusted.c.seen).where(_trusted.c.pair == pair)
        with self._store.read() as connection:
            seen = connection.execute(query).scalar()
        return seen is not None and seen > self._now() - self._trust_for

    def _current(self) -> _Cached:
        versions = self._store.versions()
        if versions is not self._versions:
            version = versions.get(TOPIC, 0)
            if version != self._cached.version:
                self._cached = _Cached(version, self._last_end(), {})
            self._versions = versions
        return self._cached

    def _last_end(self) -> float:
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.max(_counts.c.until))).scalar() or 0.0

    def _until(self, subject: str) -> float:
        query = sa.select(_counts.c.until).where(_counts.c.subject == subject)
        with self._store.read() as connection:
            return connection.execute(query).scalar() or 0.0

    def add_failure(self, subject: str, policy: BackoffPolicy) -> Wait | None:
        """Count a failure; return the wait it begins, if any."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            query = sa.select(_counts).where(_counts.c.subject == subject).with_for_update()
            row = connection.execute(query).first()
            before = FailureCount(row.failures, row.last, row.until) if row else NO_FAILURES
            count = next_count(before, policy, now)
            values = {"subject": subject, **count._asdict()}
            if row is None:
                connection.execute(_counts.insert().values(values))
            else:
                connection.execute(
                    _counts.update().where(_counts.c.subject == subject).values(values)
                )
            if count.until > now:
                self._store.touch(connection, TOPIC)
            self._sweep(connection, now - policy.forget - policy.longest)
        return Wait(subject, count.failures, count.until) if count.until > now else None

    def trust(self, identity: str, pair: str) -> None:
        """Store that an identity was verified from an address; ``pair`` names both.

        The newest addresses of one identity are kept: whoever holds one credential and many
        addresses fills no table.
        """
        now = self._now()
        with self._store.begin(durable=False) as connection:
            over = (_trusted.c.pair == pair) | (_trusted.c.seen < now - self._trust_for)
            connection.execute(_trusted.delete().where(over))
            oldest = (
                sa.select(_trusted.c.pair)
                .where(_trusted.c.identity == identity)
                .order_by(_trusted.c.seen.desc(), _trusted.c.pair)
                .offset(MAX_ADDRESSES - 1)
            )
            surplus = connection.execute(oldest).scalars().all()
            if surplus:
                connection.execute(_trusted.delete().where(_trusted.c.pair.in_(surplus)))
            connection.execute(_trusted.insert().values(pair=pair, seen=now, identity=identity))

    def waiting(self) -> int:
        """Return how many wait now."""
        query = sa.select(sa.func.count()).where(_counts.c.until > self._now())
        with self._store.read() as connection:
            return connection.execute(query).scalar_one()

    def list(self) -> list[Wait]:
        """Return who waits now."""
        query = sa.select(_counts).where(_counts.c.until > self._now())
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(_counts.c.subject)).all()
        return [Wait(row.subject, row.failures, row.until) for row in rows]

    def lift(self, subject: str) -> bool:
        """Delete a subject's failures; return whether there were any."""
        with self._store.begin() as connection:
            gone = connection.execute(_counts.delete().where(_counts.c.subject == subject))
            self._store.touch(connection, TOPIC)
        return bool(gone.rowcount)

    def _sweep(self, connection: sa.Connection, before: float) -> None:
        """Delete what is long past, and the oldest of too many.

        Who waits is bounded apart, so that a table full of them leaves room to count others.
        """
        self._since_sweep += 1
        if self._since_sweep < _SWEEP:
            return
        self._since_sweep = 0
        connection.execute(_counts.delete().where(_counts.c.last < before))
        waiting = _counts.c.until > self._now()
        for these, order in ((~waiting, _counts.c.last), (waiting, _counts.c.until)):
            many = connection.execute(sa.select(sa.func.count()).where(these)).scalar_one()
            if many > MAX_SUBJECTS:
                oldest = sa.select(_counts.c.subject).where(these).order_by(order)
                gone = oldest.limit(many - MAX_SUBJECTS)
                connection.execute(_counts.delete().where(_counts.c.subject.in_(gone)))
