"""Who was flagged, coarsened, throttled or held, and why: in the store, for people to read.

A hold is believed from here alone, so that it outlives a restart and is lifted everywhere by
one command. The slots decide everything below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.watched_table import WatchedTable

TOPIC = "theft_guard"
MOST = 10_000  # rows; whoever has many addresses has many blocks
_HOLD = "hold"

_metadata = sa.MetaData()
_table = sa.Table(
    "theft_guard_parties",
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


class Entry(NamedTuple):
    """One party's standing; times are epoch seconds, ``lifted`` 0 for never."""

    kind: str
    name: str
    model: str
    level: str
    since: float
    score: float
    rows: int
    reasons: str
    lifted: float


class Register:
    """All standings, read again whenever any worker or command has changed one."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self._entries = WatchedTable(store, TOPIC, self._by_party)

    def standing(self, kind: str, name: str, model: str) -> Entry | None:
        """Return what is known of a party; raises what the store raises."""
        return self._entries.current().get((kind, name, model))

    def _by_party(self) -> dict[tuple[str, str, str], Entry]:
        return {entry[:3]: entry for entry in self.every()}

    def every(self) -> list[Entry]:
        """Return every standing, by kind, name and model."""
        query = sa.select(_table).order_by(_table.c.kind, _table.c.name, _table.c.model)
        with self._store.read() as connection:
            return [Entry(*row) for row in connection.execute(query)]

    def put(self, entry: Entry) -> None:
        """Write a standing down in place of the one before; its lift stays known."""
        where = [getattr(_table.c, key) == getattr(entry, key) for key in ("kind", "name", "model")]
        with self._store.begin() as connection:
            lifted = connection.execute(sa.select(_table.c.lifted).where(*where)).scalar()
            connection.execute(_table.delete().where(*where))
            kept = entry._replace(lifted=lifted or 0.0)
            self._make_room(connection)
            connection.execute(_table.insert().values(kept._asdict()))
            self._store.touch(connection, TOPIC)

    def _make_room(self, connection: sa.Connection) -> None:
        """Of too many let go of the oldest, and of who is held last: it is believed from here."""
        many = connection.execute(sa.select(sa.func.count()).select_from(_table)).scalar_one()
        if many < MOST:
            return
        where = sa.tuple_(*_table.primary_key.columns)
        oldest = sa.select(*_table.primary_key.columns).order_by(
            _table.c.level == _HOLD, _table.c.since, _table.c.name
        )
        gone = connection.execute(oldest.limit(many - MOST + 1)).all()
        connection.execute(_table.delete().where(where.in_([tuple(row) for row in gone])))

    def lift(self, name: str, model: str | None) -> list[Entry]:
        """End what stands against a party, for one model or all; return what stood."""
        where = [_table.c.name == name]
        if model is not None:
            where.append(_table.c.model == model)
        with self._store.begin() as connection:
            stood = [Entry(*row) for row in connection.execute(sa.select(_table).where(*where))]
            change = _table.update().where(*where)
            connection.execute(change.values(level="watched", lifted=self._now(), reasons=""))
            self._store.touch(connection, TOPIC)
        return stood
