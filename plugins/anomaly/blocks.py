"""Blocked callers: held until an operator lifts it, or banned for a time.

In the store, so that all workers block the same subjects from their next request on. What was
counted before a block was lifted blocks nobody a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.watched_table import WatchedTable

from .clock_skew import CLOCK_SKEW, is_ahead

log = logging.getLogger("secureml.anomaly")

TOPIC = "anomaly"
MAX_ROWS = 10_000  # unknown callers choose how many addresses they come from
HOLD, BAN = "hold", "ban"
LIFTED = "lifted"  # a row that blocks nobody; `since` is when an operator lifted it

_metadata = sa.MetaData()
_table = sa.Table(
    "anomaly_blocks",
    _metadata,
    sa.Column("subject", sa.String(128), primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=True),
    sa.Column("reason", sa.String(200), nullable=False),
)


class Block(NamedTuple):
    """Who is blocked; times are epoch seconds, ``until`` None for until it is lifted."""

    subject: str
    kind: str
    since: float
    until: float | None
    reason: str


class Blocks:
    """All blocks, read again whenever any worker or command has changed the store."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self._blocks = WatchedTable(store, TOPIC, self._read)

    def find(self, subject: str) -> Block | None:
        """Return the block of a subject that holds now; raises what the store raises."""
        found = self._blocks.current().get(subject)
        return found if found is not None and self._active(found) else None

    def list(self) -> list[Block]:
        """Return every block that holds now."""
        return sorted(block for block in self._read().values() if self._active(block))

    def add(self, connection: sa.Connection, block: Block, observed: float) -> bool:
        """Block a subject, in the caller's transaction; a ban is replaced, a hold stays.

        Returns False, and changes nothing, where a block was lifted after the behaviour was
        ``observed`` (epoch seconds): the scorer may have read it before the operator lifted it.
        """
        lifted = sa.and_(_table.c.kind == LIFTED, _table.c.since >= observed)
        mine = _table.c.subject == block.subject
        if connection.execute(sa.select(_table.c.subject).where(mine, lifted)).first():
            return False
        held = sa.and_(mine, _table.c.kind == HOLD)
        holds = sa.select(_table.c.subject).where(held)
        if connection.execute(holds).first():
            # Only an operator lifts it: a ban in its place would end by itself. And refusals
            # because of a hold are no reason for it.
            return True
        connection.execute(_table.delete().where(mine))
        self._evict(connection)
        connection.execute(_table.insert().values(block._asdict()))
        self._store.touch(connection, TOPIC)
        return True

    def _evict(self, connection: sa.Connection) -> None:
        """Delete bans that are over; of too many, lifted blocks first, then bans that end soonest.

        Holds go last, the oldest first: every worker reads all of them.
        """
        over = sa.and_(_table.c.kind == BAN, sa.not_(_holds(self._now())))
        connection.execute(_table.delete().where(over))
        count = connection.execute(sa.select(sa.func.count()).select_from(_table)).scalar_one()
        if count >= MAX_ROWS:
            log.warning(
                "the table anomaly_blocks has more than %d rows, and the bans that end soonest are "
                "removed; fix: limit these addresses in front of the server",
                MAX_ROWS,
            )
            first = (_table.c.kind != LIFTED, _table.c.until.is_(None), _table.c.until)
            oldest = sa.select(_table.c.subject).order_by(*first, _table.c.since)
            surplus = oldest.limit(count - MAX_ROWS + 1)
            connection.execute(_table.delete().where(_table.c.subject.in_(surplus)))

    def lift(self, subject: str) -> bool:
        """End a block and forget what was counted until now; return whether there was one."""
        now = self._now()
        with self._store.begin() as connection:
            changed = connection.execute(
                _table.update()
                .where(_table.c.subject == subject, _table.c.kind != LIFTED, _holds(now))
                .values(kind=LIFTED, since=now, until=now)
            ).rowcount
            self._store.touch(connection, TOPIC)
        return bool(changed)

    def lifted_at(self) -> dict[str, float]:
        """Return when a subject's block was lifted, epoch seconds; windows before do not count.

        A clock that was set back makes it now: else nothing that the subject does would count
        until the old time has come again.
        """
        now = self._now()
        query = sa.select(_table.c.subject, _table.c.since).where(_table.c.kind == LIFTED)
        with self._store.read() as connection:
            lifted = {row.subject: row.since for row in connection.execute(query)}
        if any(is_ahead(since, now) for since in lifted.values()):
            ahead = sa.and_(_table.c.kind == LIFTED, _table.c.since > now + CLOCK_SKEW)
            with self._store.begin() as connection:
                connection.execute(_table.update().where(ahead).values(since=now, until=now))
        return {
            subject: now if is_ahead(since, now) else since for subject, since in lifted.items()
        }

    def _read(self) -> dict[str, Block]:
        with self._store.read() as connection:
            rows = connection.execute(sa.select(_table)).all()
        return {row.subject: Block(*row) for row in rows}

    def _active(self, block: Block) -> bool:
        """As `_holds` for the database."""
        if block.kind == LIFTED:
            return False
        now = self._now()
        return block.until is None or (block.until > now and not is_ahead(block.since, now))


def _holds(now: float) -> sa.ColumnElement[bool]:
    """Return the condition that a block is not over.

    A ban that began in the future was made before the clock was set back: it is over, for it
    would last longer than was said. If the behaviour continues, the next window renews it.
    """
    running = sa.and_(_table.c.until > now, _table.c.since <= now + CLOCK_SKEW)
    return sa.or_(_table.c.until.is_(None), running)
