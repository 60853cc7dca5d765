"""Device codes: a machine without a browser waits while a person decides elsewhere (RFC 8628).

A device code is good once; whoever polls too fast is told so and must wait longer from then
on. The short code a person types is worth nothing without a signed-in person.

Anybody may begin, so what waits is bounded, and the bound is shared out: each address has so
many, and where a program's are all taken, the network that has most of them gives one up. Who
floods pushes out itself.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from secureml.kit.networks import host_prefix, network_prefix
from secureml.kit.protocols import Store

from .opaque_tokens import DEVICE, digest, new_id, new_token
from .store import Condition, always

INTERVAL, SLOWER = 5.0, 5.0  # seconds between polls, and what is added for one too early
MOST = 1000  # waiting at once for one OAuth client
MOST_PER_ADDRESS = 50  # waiting at once from one address (an IPv6 /64), for whatever clients
MOST_DECIDED = 100  # that one person has decided on, kept to be fetched and to know a replay by
# RFC 8628, 6.1: consonants alone make no words, and none of these is taken for another.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH = 8

_metadata = sa.MetaData()
_table = sa.Table(
    "oauth2_devices",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("typed", sa.String(8), nullable=False, unique=True),
    sa.Column("oauth_client", sa.String(40), nullable=False, index=True),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("family", sa.String(32), nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("kept", sa.Float, nullable=False, index=True),
    sa.Column("interval", sa.Float, nullable=False),
    sa.Column("polled", sa.Float, nullable=True),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("subject", sa.String(63), nullable=False),
    # Where it was asked for, while it waits.
    sa.Column("host_prefix", sa.String(45), nullable=False, server_default="", index=True),
    sa.Index("ix_oauth2_devices_subject", "subject"),
)


_WAITS = _table.c.state == "pending"


class DeviceRefused(Exception):
    """No token now: ``error`` is the protocol's word; ``family`` must end with it, if any."""

    def __init__(self, error: str, family: str = "") -> None:
        super().__init__(error)
        self.error, self.family = error, family


@dataclass(frozen=True, slots=True)
class Device:
    """A machine that waits, or waited; ``subject`` is who said yes."""

    oauth_client: str
    scopes: frozenset[str]
    family: str
    subject: str


class Devices:
    """Begins, shows, decides and polls; ``lifetime`` and ``keep`` are in seconds."""

    def __init__(
        self, store: Store, now: Callable[[], float], lifetime: float, keep: float
    ) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self.lifetime, self._keep = lifetime, keep

    def begin(
        self, oauth_client: str, scopes: frozenset[str], address: str = ""
    ) -> tuple[str, str]:
        """Return the device's code and the one a person types; ``address`` is who asks.

        One that waits gives way where there are too many: see above.
        """
        text, typed, now = new_token(DEVICE), _new_typed(), self._now()
        row = {
            "digest": digest(text),
            "typed": typed,
            "oauth_client": oauth_client,
            "scopes": sorted(scopes),
            "family": new_id(),
            "expires": now + self.lifetime,
            "kept": now + self._keep,
            "interval": INTERVAL,
            "polled": None,
            "state": "pending",
            "subject": "",
            "host_prefix": host_prefix(address),
        }
        with self._store.begin() as connection:
            over = (_table.c.kept <= now) | (
                (_table.c.expires <= now) & _table.c.state.in_(("pending", "denied", "allowed"))
            )
            connection.execute(_table.delete().where(over))
            _make_room(connection, oauth_client, str(row["host_prefix"]))
            connection.execute(_table.insert().values(row))
        return text, f"{typed[:4]}-{typed[4:]}"

    def lookup(self, typed: str) -> Device | None:
        """Return the machine that waits for a typed code, or None."""
        which = sa.and_(*self._waiting(typed))
        with self._store.read() as connection:
            row = connection.execute(_table.select().where(which)).first()
        return None if row is None else _device(row)

    def approve(
        self,
        typed: str,
        subject: str,
        *,
        allow: bool,
        scopes: frozenset[str],
        still: Condition = always,
    ) -> bool:
        """Write down what a person said, once; tell whether it counted, as ``still`` must hold."""
        said = {
            "state": "allowed" if allow else "denied",
            "subject": subject,
            "scopes": sorted(scopes),
        }
        with self._store.begin() as connection:
            if not still(connection):
                return False
            changed = connection.execute(_table.update().where(*self._waiting(typed)).values(said))
            _keep_newest(connection, _table.c.subject == subject, MOST_DECIDED)
        return bool(changed.rowcount)

    def poll(self, text: str, oauth_client: str) -> Device:
        """Return what was allowed, once; raises DeviceRefused with the protocol's word."""
        which = _table.c.digest == digest(text)
        with self._store.begin() as connection:
            row = connection.execute(_table.select().where(which).with_for_update()).first()
            if row is None or row.oauth_client != oauth_client:
                raise DeviceRefused("invalid_grant")
            if row.state == "used":
                raise DeviceRefused("invalid_grant", row.family)
            refusal, values = self._poll_result(row)
            connection.execute(_table.update().where(which).values(values))
        if refusal:
            raise DeviceRefused(refusal)
        return _device(row)

    def end_all(self, subject: str) -> list[str]:
        """Forget what a person allowed; return the families that could be about to begin."""
        theirs = sa.and_(_table.c.subject == subject, _table.c.expires > self._now())
        with self._store.begin() as connection:
            families = connection.execute(sa.select(_table.c.family).where(theirs)).scalars().all()
            connection.execute(_table.delete().where(theirs, _table.c.state == "allowed"))
        return list(families)

    def _poll_result(self, row: sa.Row[tuple[object, ...]]) -> tuple[str, dict[str, object]]:
        now = self._now()
        values: dict[str, object] = {"polled": now}
        if row.expires <= now:
            return "expired_token", values
        if row.state == "denied":
            return "access_denied", values
        if row.polled is not None and now < row.polled + row.interval:
            return "slow_down", {**values, "interval": row.interval + SLOWER}
        if row.state == "pending":
            return "authorization_pending", values
        return "", {**values, "state": "used"}

    def _waiting(self, typed: str) -> list[sa.ColumnElement[bool]]:
        return [
            _table.c.typed == _plain(typed),
            _WAITS,
            _table.c.expires > self._now(),
        ]


def _make_room(connection: sa.Connection, oauth_client: str, asker: str) -> None:
    """Take away what gives way to one more that waits, of this program and from this home."""
    _keep_newest(connection, sa.and_(_WAITS, _table.c.host_prefix == asker), MOST_PER_ADDRESS - 1)
    mine = (
        sa.select(_table.c.digest, _table.c.host_prefix)
        .where(_WAITS, _table.c.oauth_client == oauth_client)
        .order_by(_table.c.kept, _table.c.digest)
    )
    waiting = list(connection.execute(mine))
    for _ in range(len(waiting) - MOST + 1):
        networks = Counter(network_prefix(row.host_prefix) for row in waiting)
        # Of networks that have equally many, the one whose oldest is older.
        most = max(networks.values())
        victim = next(row for row in waiting if networks[network_prefix(row.host_prefix)] == most)
        connection.execute(_table.delete().where(_table.c.digest == victim.digest))
        waiting.remove(victim)


def _keep_newest(connection: sa.Connection, which: sa.ColumnElement[bool], most: int) -> None:
    newest = sa.select(_table.c.digest).where(which)
    surplus = newest.order_by(_table.c.kept.desc(), _table.c.digest).offset(most)
    digests = connection.execute(surplus).scalars().all()
    if digests:
        connection.execute(_table.delete().where(_table.c.digest.in_(digests)))


def _new_typed() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def _plain(typed: str) -> str:
    """Return the letters of what was typed, as large ones (RFC 8628, 6.1)."""
    return "".join(letter for letter in typed[:40].upper() if letter in _LETTERS)


def _device(row: sa.Row[tuple[object, ...]]) -> Device:
    found = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name for it
    return Device(
        found["oauth_client"], frozenset(found["scopes"]), found["family"], found["subject"]
    )
