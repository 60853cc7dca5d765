"""Proofs that were used, so that none is used twice, in whichever worker it comes back.

Only proofs that hold are written down, only until they are too old to hold, and only so many:
a store filled by a fast client makes bound tokens wait, and is never a reason to forget.
They need not outlive a power cut, and so cost no wait for the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa

MOST = 100_000
_SWEEP_SECONDS, _SWEEP_USES = 60.0, 1000

_metadata = sa.MetaData()
_table = sa.Table(
    "oauth2_proofs",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("ends", sa.Float, nullable=False, index=True),
)


class _Store(Protocol):
    def register(self, metadata: sa.MetaData) -> None: ...
    def begin(self, *, durable: bool) -> AbstractContextManager[sa.Connection]: ...


class TooManyProofs(Exception):
    """No further proof can be remembered for now, so none can be taken."""


class Replays:
    """Remembers used proofs in the store, which every worker shares."""

    def __init__(self, store: _Store, now: Callable[[], float], most: int = MOST) -> None:
        store.register(_metadata)
        self._store, self._now, self._most = store, now, most
        self._swept, self._uses = float("-inf"), 0

    def first(self, digest: str, ends: float) -> bool:
        """Tell whether this use is the first; ``ends`` is when it may be forgotten."""
        try:
            with self._store.begin(durable=False) as connection:
                self._sweep(connection)
                connection.execute(_table.insert().values(digest=digest, ends=ends))
        except sa.exc.IntegrityError:
            return False
        return True

    def _sweep(self, connection: sa.Connection) -> None:
        now = self._now()
        self._uses += 1
        if abs(now - self._swept) < _SWEEP_SECONDS and self._uses % _SWEEP_USES:
            return
        connection.execute(_table.delete().where(_table.c.ends <= now))
        held = connection.execute(sa.select(sa.func.count()).select_from(_table)).scalar_one()
        if held >= self._most:
            raise TooManyProofs
        self._swept = now
