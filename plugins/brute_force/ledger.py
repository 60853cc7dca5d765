"""Failures and waits in the store, so that all workers count as one.

A failure is a write that waits for no disk. Only when a wait begins or ends by hand are the
other workers told, so that guessing cannot make them forget what they have cached.

Nothing is read as a whole: who waits and who is known is looked up by name, so a request costs
the same however many rows strangers have made. Both tables are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .waits import NONE, Count, Rules, failed

TOPIC = "brute_force"
MOST = 100_000  # subjects that are counted and do not wait, and as many that do
MOST_PLACES = 64  # addresses at which one identity is known
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
_good = sa.Table(
    "brute_force_good",
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


class _Known(NamedTuple):
    """What is known while nobody's wait changes: the last end of any, and ends by subject."""

    version: int
    last_end: float
    until: dict[str, float]


class Ledger:
    """Counts failures of subjects, and remembers pairs that have proven themselves."""

    def __init__(self, store: Store, now: Callable[[], float], remember: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._remember = store, now, remember
        self._versions: Mapping[str, int] | None = None
        self._known = _Known(-1, 0.0, {})
        self._since_sweep = 0

    def waits(self, subject: str) -> float:
        """Return the seconds a subject still waits, 0 for none; raises what the store raises."""
        known, now = self._look(), self._now()
        if known.last_end <= now:
            return 0.0
        until = known.until.get(subject)
        if until is None:
            until = self._until(subject)
            if len(known.until) >= CACHE_SIZE:
                known.until.clear()
            known.until[subject] = until
        return max(until - now, 0.0)

    def proven(self, pair: str) -> bool:
        """Tell whether this identity has proven itself from this address lately."""
        asked = sa.select(_good.c.seen).where(_good.c.pair == pair)
        with self._store.read() as connection:
            seen = connection.execute(asked).scalar()
        return seen is not None and seen > self._now() - self._remember

    def _look(self) -> _Known:
        versions = self._store.versions()
        if versions is not self._versions:
            version = versions.get(TOPIC, 0)
            if version != self._known.version:
                self._known = _Known(version, self._last_end(), {})
            self._versions = versions
        return self._known

    def _last_end(self) -> float:
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.max(_counts.c.until))).scalar() or 0.0

    def _until(self, subject: str) -> float:
        asked = sa.select(_counts.c.until).where(_counts.c.subject == subject)
        with self._store.read() as connection:
            return connection.execute(asked).scalar() or 0.0

    def fail(self, subject: str, rules: Rules) -> Wait | None:
        """Count a failure; return the wait it begins, if any."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            asked = sa.select(_counts).where(_counts.c.subject == subject).with_for_update()
            row = connection.execute(asked).first()
            count = failed(Count(row.failures, row.last, row.until) if row else NONE, rules, now)
            values = {"subject": subject, **count._asdict()}
            if row is None:
                connection.execute(_counts.insert().values(values))
            else:
                connection.execute(
                    _counts.update().where(_counts.c.subject == subject).values(values)
                )
            if count.until > now:
                self._store.touch(connection, TOPIC)
            self._sweep(connection, now - rules.forget - rules.longest)
        return Wait(subject, count.failures, count.until) if count.until > now else None

    def succeed(self, identity: str, pair: str) -> None:
        """Remember that an identity has proven itself from an address; ``pair`` is of both.

        Of one identity so many places are kept, the newest: whoever holds one credential and
        many addresses fills no table.
        """
        now = self._now()
        with self._store.begin(durable=False) as connection:
            over = (_good.c.pair == pair) | (_good.c.seen < now - self._remember)
            connection.execute(_good.delete().where(over))
            oldest = (
                sa.select(_good.c.pair)
                .where(_good.c.identity == identity)
                .order_by(_good.c.seen.desc(), _good.c.pair)
                .offset(MOST_PLACES - 1)
            )
            surplus = connection.execute(oldest).scalars().all()
            if surplus:
                connection.execute(_good.delete().where(_good.c.pair.in_(surplus)))
            connection.execute(_good.insert().values(pair=pair, seen=now, identity=identity))

    def waiting(self) -> int:
        """Return how many wait now."""
        asked = sa.select(sa.func.count()).where(_counts.c.until > self._now())
        with self._store.read() as connection:
            return connection.execute(asked).scalar_one()

    def list(self) -> list[Wait]:
        """Return who waits now."""
        asked = sa.select(_counts).where(_counts.c.until > self._now())
        with self._store.read() as connection:
            rows = connection.execute(asked.order_by(_counts.c.subject)).all()
        return [Wait(row.subject, row.failures, row.until) for row in rows]

    def lift(self, subject: str) -> bool:
        """Forget a subject's failures; tell whether there were any."""
        with self._store.begin() as connection:
            gone = connection.execute(_counts.delete().where(_counts.c.subject == subject))
            self._store.touch(connection, TOPIC)
        return bool(gone.rowcount)

    def _sweep(self, connection: sa.Connection, before: float) -> None:
        """Forget what is long past, and the oldest of too many.

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
            if many > MOST:
                oldest = sa.select(_counts.c.subject).where(these).order_by(order)
                gone = oldest.limit(many - MOST)
                connection.execute(_counts.delete().where(_counts.c.subject.in_(gone)))
