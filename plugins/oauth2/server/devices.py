"""Device codes: a machine without a browser waits while a person decides elsewhere (RFC 8628).

A device code is good once; whoever polls too fast is told so and must wait longer from then
on. The short code a person types is worth nothing without a signed-in person.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from .digests import DEVICE, digest, new_id, new_text
from .store import Store

INTERVAL, SLOWER = 5.0, 5.0  # seconds between polls, and what is added for one too early
MOST = 1000  # waiting at once for one OAuth client
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
)


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

    def begin(self, oauth_client: str, scopes: frozenset[str]) -> tuple[str, str]:
        """Return the device's code and the one a person types; raises DeviceRefused."""
        text, typed, now = new_text(DEVICE), _new_typed(), self._now()
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
        }
        with self._store.begin() as connection:
            over = (_table.c.kept <= now) | (
                (_table.c.expires <= now) & _table.c.state.in_(("pending", "denied"))
            )
            connection.execute(_table.delete().where(over))
            waiting = sa.select(sa.func.count()).where(
                _table.c.oauth_client == oauth_client, _table.c.state == "pending"
            )
            if connection.execute(waiting).scalar_one() >= MOST:
                raise DeviceRefused("slow_down")
            connection.execute(_table.insert().values(row))
        return text, f"{typed[:4]}-{typed[4:]}"

    def look(self, typed: str) -> Device | None:
        """Return the machine that waits for a typed code, or None."""
        which = sa.and_(*self._waiting(typed))
        with self._store.read() as connection:
            row = connection.execute(_table.select().where(which)).first()
        return None if row is None else _device(row)

    def decide(self, typed: str, subject: str, *, allow: bool, scopes: frozenset[str]) -> bool:
        """Write down what a person said, once; tell whether it still counted."""
        said = {
            "state": "allowed" if allow else "denied",
            "subject": subject,
            "scopes": sorted(scopes),
        }
        with self._store.begin() as connection:
            changed = connection.execute(_table.update().where(*self._waiting(typed)).values(said))
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
            verdict, values = self._verdict(row)
            connection.execute(_table.update().where(which).values(values))
        if verdict:
            raise DeviceRefused(verdict)
        return _device(row)

    def _verdict(self, row: sa.Row[tuple[object, ...]]) -> tuple[str, dict[str, object]]:
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
            _table.c.state == "pending",
            _table.c.expires > self._now(),
        ]


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
