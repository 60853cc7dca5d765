"""Failures and waits in the store, so that all workers count as one.

A failure is a write that waits for no disk. Only when a wait begins or ends by hand are the
other workers told, so that guessing cannot make them forget what they have cached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import sqlalchemy as sa

from .waits import NONE, Count, Rules, failed

TOPIC = "brute_force"
MOST = 100_000
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
)


class Wait(NamedTuple):
    """Who waits, after how many failures, and until when (epoch seconds)."""

    subject: str
    failures: int
    until: float


class _Store(Protocol):
    def register(self, metadata: sa.MetaData) -> None: ...
    def begin(self, *, durable: bool = True) -> AbstractContextManager[sa.Connection]: ...
    def read(self) -> AbstractContextManager[sa.Connection]: ...
    def touch(self, connection: sa.Connection, topic: str) -> None: ...
    def versions(self) -> Mapping[str, int]: ...


class Ledger:
    """Counts failures of subjects, and remembers pairs that have proven themselves."""

    def __init__(self, store: _Store, now: Callable[[], float], remember: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._remember = store, now, remember
        self._versions: Mapping[str, int] | None = None
        self._known: tuple[int, dict[str, float], frozenset[str]] = (-1, {}, frozenset())
        self._since_sweep = 0

    def waits(self, subject: str) -> float:
        """Return the seconds a subject still waits, 0 for none; raises what the store raises."""
        until = self._look()[1].get(subject, 0.0)
        return max(until - self._now(), 0.0)

    def proven(self, pair: str) -> bool:
        """Tell whether this identity has proven itself from this address lately."""
        return pair in self._look()[2]

    def _look(self) -> tuple[int, dict[str, float], frozenset[str]]:
        versions = self._store.versions()
        if versions is not self._versions:
            version = versions.get(TOPIC, 0)
            if version != self._known[0]:
                self._known = (version, *self._read())
            self._versions = versions
        return self._known

    def _read(self) -> tuple[dict[str, float], frozenset[str]]:
        now = self._now()
        waiting = sa.select(_counts.c.subject, _counts.c.until).where(_counts.c.until > now)
        good = sa.select(_good.c.pair).where(_good.c.seen > now - self._remember)
        with self._store.read() as connection:
            found = {row.subject: row.until for row in connection.execute(waiting)}
            return found, frozenset(connection.execute(good).scalars())

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

    def succeed(self, pair: str) -> None:
        """Remember that an identity has proven itself from an address."""
        now = self._now()
        with self._store.begin(durable=False) as connection:
            connection.execute(_good.delete().where(_good.c.pair == pair))
            connection.execute(_good.insert().values(pair=pair, seen=now))
            connection.execute(_good.delete().where(_good.c.seen < now - self._remember))
            self._store.touch(connection, TOPIC)

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
        """Forget what is long past, and the oldest of too many: never one who waits."""
        self._since_sweep += 1
        if self._since_sweep < _SWEEP:
            return
        self._since_sweep = 0
        connection.execute(_counts.delete().where(_counts.c.last < before))
        many = connection.execute(sa.select(sa.func.count()).select_from(_counts)).scalar_one()
        if many > MOST:
            oldest = (
                sa.select(_counts.c.subject)
                .where(_counts.c.until <= self._now())
                .order_by(_counts.c.last)
                .limit(many - MOST)
            )
            connection.execute(_counts.delete().where(_counts.c.subject.in_(oldest)))
