"""The keyring: which client holds which key, until when. Only digests are kept.

A found key is cached until the store says that one changed, so a revocation is seen by
every worker at its next request. Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .key import Key, new_key, parse

TOPIC = "api_keys"
_NO_DIGEST = "0" * 64
# Strangers can make up as many well-formed ids as they like; what is remembered is bounded.
CACHE_SIZE = 4096

_metadata = sa.MetaData()
_table = sa.Table(
    "api_keys_keys",
    _metadata,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("client", sa.String(63), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=True),
    sa.Column("revoked", sa.Float, nullable=True),
    sa.Column("successor", sa.String(12), nullable=True),
)


class KeyFault(Exception):
    """A key cannot be found or changed; one line says why."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key; times are epoch seconds, ``scopes`` None means all its client's."""

    id: str
    client: str
    digest: str
    scopes: frozenset[str] | None
    created: float
    expires: float | None
    revoked: float | None
    successor: str | None

    def state(self, now: float) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return "active"


class Keyring:
    """Issues, finds, rotates and revokes keys."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        store.register(_metadata)
        self._store, self._now, self._random = store, now, random_bytes
        self._cache: tuple[int, dict[str, KeyRecord | None]] = (-1, {})

    def find(self, text: str) -> tuple[KeyRecord | None, str]:
        """Return the key's record and its state; no record unless the secret itself matches."""
        key = parse(text)
        if key is None:
            return None, "malformed"
        record = self._record(key.id)
        # Compared even where there is nothing to match: both kinds of miss take the same time.
        digest = _NO_DIGEST if record is None else record.digest
        if not hmac.compare_digest(digest, key.digest()) or record is None:
            return None, "unknown"
        return record, record.state(self._now())

    def issue(
        self, client: str, *, lifetime: float | None, scopes: Collection[str] | None = None
    ) -> tuple[Key, KeyRecord]:
        """Make a key for a client; ``lifetime`` in seconds, None for ever. The text is not kept."""
        with self._store.begin() as connection:
            return self._insert(connection, client, lifetime, scopes)

    def list(self, client: str | None = None) -> list[KeyRecord]:
        """Return the records, oldest first, of one client or of all."""
        query = _table.select().order_by(_table.c.created, _table.c.id)
        if client is not None:
            query = query.where(_table.c.client == client)
        with self._store.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def statistics(self) -> tuple[int, float | None, float | None]:
        """Return how many keys are good now, when the oldest was made and the next one ends."""
        now = self._now()
        good = sa.and_(
            _table.c.revoked.is_(None),
            sa.or_(_table.c.expires.is_(None), _table.c.expires > now),
        )
        columns = sa.func.count(), sa.func.min(_table.c.created), sa.func.min(_table.c.expires)
        with self._store.read() as connection:
            number, created, expires = connection.execute(sa.select(*columns).where(good)).one()
        return number, created, expires

    def rotate(self, key_id: str, *, overlap: float) -> tuple[Key, KeyRecord]:
        """Issue a successor with the same client, scopes and lifetime.

        The old key goes on for ``overlap`` seconds at most, never longer than it would have.
        A key has one successor: of two rotations at once, one is refused.
        """
        now = self._now()
        with self._store.begin() as connection:
            old = self._require(connection, key_id)
            if old.state(now) != "active":
                raise KeyFault(f"the key {key_id} is {old.state(now)}, there is nothing to rotate")
            if old.successor is not None:
                raise KeyFault(f"the key {key_id} is rotated already, to {old.successor}")
            lifetime = None if old.expires is None else old.expires - old.created
            key, record = self._insert(connection, old.client, lifetime, old.scopes)
            ends = now + overlap if old.expires is None else min(old.expires, now + overlap)
            connection.execute(
                _table.update()
                .where(_table.c.id == key_id)
                .values(expires=ends, successor=record.id)
            )
            return key, record

    def revoke(self, key_id: str) -> KeyRecord:
        """End a key from the next request on; a key already revoked stays as it was."""
        with self._store.begin() as connection:
            record = self._require(connection, key_id)
            if record.revoked is None:
                record = replace(record, revoked=self._now())
                connection.execute(
                    _table.update().where(_table.c.id == key_id).values(revoked=record.revoked)
                )
                self._store.touch(connection, TOPIC)
        return record

    def _insert(
        self,
        connection: sa.Connection,
        client: str,
        lifetime: float | None,
        scopes: Collection[str] | None,
    ) -> tuple[Key, KeyRecord]:
        key, now = new_key(self._random), self._now()
        expires = None if lifetime is None else now + lifetime
        held = None if scopes is None else frozenset(scopes)
        record = KeyRecord(key.id, client, key.digest(), held, now, expires, None, None)
        connection.execute(
            _table.insert().values(
                id=record.id,
                client=client,
                digest=record.digest,
                created=now,
                expires=expires,
                scopes=None if held is None else sorted(held),
            )
        )
        self._store.touch(connection, TOPIC)
        return key, record

    def _require(self, connection: sa.Connection, key_id: str) -> KeyRecord:
        # Locked until the end of the transaction, where the database locks rows (SQLite: all).
        query = _table.select().where(_table.c.id == key_id).with_for_update()
        row = connection.execute(query).first()
        if row is None:
            raise KeyFault(f"there is no key {key_id!r}; `secureml api-keys list` shows them")
        return _record(row)

    def _record(self, key_id: str) -> KeyRecord | None:
        version = self._store.version(TOPIC)
        cached, records = self._cache
        if cached != version or len(records) >= CACHE_SIZE:
            records = {}
            self._cache = (version, records)
        if key_id not in records:
            with self._store.read() as connection:
                row = connection.execute(_table.select().where(_table.c.id == key_id)).first()
            records[key_id] = None if row is None else _record(row)
        return records[key_id]


def _record(row: sa.Row[tuple[object, ...]]) -> KeyRecord:
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name for it
    scopes = found.pop("scopes")
    return KeyRecord(scopes=None if scopes is None else frozenset(scopes), **found)
