"""Who was flagged, coarsened, throttled or held, and why: in the store, for people to read.

A hold counts from here alone, so that it outlives a restart and is lifted everywhere by one
command. The shared table decides everything below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.watched_table import WatchedTable

TOPIC = "theft_guard"
MAX_ROWS = 10_000  # whoever has many addresses has many blocks
_HOLD = "hold"

_metadata = sa.MetaData()
_table = sa.Table(
    "theft_guard_enforcements",
    _metadata,
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("level", sa.String(12), nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("reasons", sa.String(200), nullable=False),
    sa.Column("lifted", sa.Float, nullable=False),
)


class Enforcement(NamedTuple):
    """The level of one subject; times are epoch seconds, ``lifted`` 0 for never."""

    kind: str
    name: str
    model: str
    level: str
    since: float
    score: float
    rows: int
    reasons: str
    lifted: float


class Enforcements:
    """All enforcements, read again whenever any worker or command has changed one."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self._current = WatchedTable(store, TOPIC, self._by_subject)

    def find(self, kind: str, name: str, model: str) -> Enforcement | None:
        """Return what is enforced on a subject, None for nothing; raises what the store raises."""
        return self._current.current().get((kind, name, model))

    def _by_subject(self) -> dict[tuple[str, str, str], Enforcement]:
        return {found[:3]: found for found in self.list_all()}

    def list_all(self) -> list[Enforcement]:
        """Return every enforcement, by kind, name and model."""
        query = sa.select(_table).order_by(_table.c.kind, _table.c.name, _table.c.model)
        with self._store.read() as connection:
            return [Enforcement(*row) for row in connection.execute(query)]

    def save(self, enforcement: Enforcement) -> None:
        """Store an enforcement in place of the one before; its lift stays known."""
        keys = ("kind", "name", "model")
        where = [getattr(_table.c, key) == getattr(enforcement, key) for key in keys]
        with self._store.begin() as connection:
            lifted = connection.execute(sa.select(_table.c.lifted).where(*where)).scalar()
            connection.execute(_table.delete().where(*where))
            kept = enforcement._replace(lifted=lifted or 0.0)
            self._evict_oldest(connection)
            connection.execute(_table.insert().values(kept._asdict()))
            self._store.touch(connection, TOPIC)

    def _evict_oldest(self, connection: sa.Connection) -> None:
        """Delete the oldest of too many; holds go last, because they exist nowhere else."""
        count = connection.execute(sa.select(sa.func.count()).select_from(_table)).scalar_one()
        if count < MAX_ROWS:
            return
        where = sa.tuple_(*_table.primary_key.columns)
        oldest = sa.select(*_table.primary_key.columns).order_by(
            _table.c.level == _HOLD, _table.c.since, _table.c.name
        )
        gone = connection.execute(oldest.limit(count - MAX_ROWS + 1)).all()
        connection.execute(_table.delete().where(where.in_([tuple(row) for row in gone])))

    def lift(self, name: str, model: str | None) -> list[Enforcement]:
        """End what is enforced on a subject, for one model or all; return what was."""
        where = [_table.c.name == name]
        if model is not None:
            where.append(_table.c.model == model)
        with self._store.begin() as connection:
            rows = connection.execute(sa.select(_table).where(*where)).all()
            change = _table.update().where(*where)
            connection.execute(change.values(level="watched", lifted=self._now(), reasons=""))
            self._store.touch(connection, TOPIC)
        return [Enforcement(*row) for row in rows]
