"""What each worker says of itself: which versions it serves, and how trials compare there.

Commands read it to tell an operator that a change has arrived everywhere; workers read one
another's comparisons, so that all of them judge by the traffic of all.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from secureml.state.store import Store

ALIVE_SECONDS = 15.0  # a worker that has said nothing for so long is gone
FORGOTTEN_SECONDS = 86_400.0

_metadata = sa.MetaData()
_servers = sa.Table(
    "model_servers",
    _metadata,
    sa.Column("place", sa.String(300), primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("served", sa.JSON, nullable=False),
    sa.Column("refused", sa.JSON, nullable=False),
)
_comparisons = sa.Table(
    "model_comparisons",
    _metadata,
    sa.Column("run", sa.String(16), primary_key=True),
    sa.Column("place", sa.String(300), primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("sums", sa.JSON, nullable=False),
)


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One worker (``host:pid``): the version in use by model, and why others were refused.

    ``refused`` has `model@version` for keys.
    """

    place: str
    served: Mapping[str, str]
    refused: Mapping[str, str]


def place() -> str:
    """Return how this process is called among all: ``host:pid``."""
    return f"{socket.gethostname()}:{os.getpid()}"


class ServingReports:
    """The reports of all workers. None is waited for on disk: each is soon written again."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        store.register(_metadata)
        self._store, self._now = store, now

    def report(self, report: ServerReport) -> None:
        """Say what a worker serves, in place of what it said before."""
        now = self._now()
        row = {"seen": now, "served": dict(report.served), "refused": dict(report.refused)}
        with self._store.begin(durable=False) as connection:
            connection.execute(_servers.delete().where(_servers.c.place == report.place))
            connection.execute(_servers.insert().values(place=report.place, **row))
            old = now - FORGOTTEN_SECONDS
            connection.execute(_servers.delete().where(_servers.c.seen < old))

    def leave(self, place: str) -> None:
        """Take back what a worker said: it ends."""
        with self._store.begin(durable=False) as connection:
            connection.execute(_servers.delete().where(_servers.c.place == place))

    def alive(self) -> list[ServerReport]:
        """Return what the workers say that have said something a moment ago."""
        since = self._now() - ALIVE_SECONDS
        with self._store.read() as connection:
            rows = connection.execute(_servers.select().where(_servers.c.seen >= since))
            return [ServerReport(row.place, row.served, row.refused) for row in rows]

    def put_comparison(self, run: str, place: str, sums: Mapping[str, Any]) -> None:
        """Write what a worker has compared so far in a trial."""
        now = self._now()
        which = (_comparisons.c.run == run) & (_comparisons.c.place == place)
        with self._store.begin(durable=False) as connection:
            connection.execute(_comparisons.delete().where(which))
            row = {"run": run, "place": place, "seen": now, "sums": dict(sums)}
            connection.execute(_comparisons.insert().values(row))

    def comparisons(self, run: str) -> list[Mapping[str, Any]]:
        """Return what every worker has compared in a trial, those that have ended among them."""
        with self._store.read() as connection:
            rows = connection.execute(_comparisons.select().where(_comparisons.c.run == run))
            return [row.sums for row in rows]

    def drop_comparisons(self, keep: frozenset[str]) -> None:
        """Drop the sums of all trials but these."""
        with self._store.begin(durable=False) as connection:
            connection.execute(_comparisons.delete().where(_comparisons.c.run.not_in(keep)))
