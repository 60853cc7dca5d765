"""Proofs that were used, so that none is used twice, in whichever worker it comes back.

Only proofs that hold are written down, until ten minutes after they are too old to hold, only
of holders who have shown who they are, and only so many of each: a holder who fills its share
makes only its own bound tokens wait, and no proof is forgotten early.
They need not outlive a power cut, and so cost no wait for the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from secureml.kit.protocols import Store

MOST = 50_000  # of one holder
# Rows outlive their proofs by so many seconds: a clock that was ahead and is set back must not
# find a proof good again that was forgotten in between.
MARGIN = 600.0
_SWEEP_SECONDS, _SWEEP_USES = 60.0, 1000


def columns() -> list[sa.Column[Any]]:
    """Return the columns of a table of used proofs."""
    return [
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("ends", sa.Float, nullable=False, index=True),
        sa.Column("holder", sa.String(64), nullable=False, server_default="", index=True),
    ]


class TooManyProofs(Exception):
    """No further proof of this holder can be remembered for now, so none can be taken."""


class Replays:
    """Remembers used proofs in the store, which every worker shares."""

    def __init__(
        self, store: Store, now: Callable[[], float], table: sa.Table, most: int = MOST
    ) -> None:
        store.register(table.metadata)
        self._table = table
        self._store, self._now, self._most = store, now, most
        # When each holder's share was last looked at, and its uses since: holders are the
        # clients of the application, so there are few.
        self._looked: dict[str, tuple[float, int]] = {}

    def first(self, digest: str, ends: float, holder: str) -> bool:
        """Tell whether this use is the first; ``ends`` is when it is too old to hold.

        ``holder`` is who has proven to be behind it: a client by name or id, up to 64
        characters. Raises TooManyProofs where its share is full.
        """
        try:
            with self._store.begin(durable=False) as connection:
                self._sweep(connection, holder)
                row = {"digest": digest, "ends": ends, "holder": holder}
                connection.execute(self._table.insert().values(row))
        except sa.exc.IntegrityError:
            return False
        return True

    def _sweep(self, connection: sa.Connection, holder: str) -> None:
        now, table = self._now(), self._table
        looked, uses = self._looked.get(holder, (float("-inf"), 0))
        if abs(now - looked) < _SWEEP_SECONDS and (uses + 1) % _SWEEP_USES:
            self._looked[holder] = looked, uses + 1
            return
        connection.execute(table.delete().where(table.c.ends <= now - MARGIN))
        number = sa.select(sa.func.count()).where(table.c.holder == holder, table.c.ends > now)
        if connection.execute(number).scalar_one() >= self._most:
            self._looked.pop(holder, None)
            raise TooManyProofs
        self._looked[holder] = now, 0
