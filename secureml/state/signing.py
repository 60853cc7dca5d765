"""The signing key ring: the key that signs tokens, and the keys that still verify them.

One key is active and signs. A rotation makes the next one; the one before is retiring: it
verifies until the last token it signed has expired, then it is retired and no longer accepted.
A key that is retired by hand is refused by every worker at its next request, because what is
cached here is dropped when the store says that the ring changed.

Private halves lie in a folder of their own, one PEM file a key (0600), and only while they
sign. Public halves are in the store, so that verifying needs no file and no key is ever
looked up by a path.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from secureml.config_error import ConfigError
from secureml.state import keypair
from secureml.state.keypair import SigningKey, VerifyingKey
from secureml.state.secrets.references import SecretSource
from secureml.state.store import Store, StoreUnavailable

TOPIC = "signing_keys"
_metadata = sa.MetaData()
_table = sa.Table(
    "signing_keys",
    _metadata,
    sa.Column("kid", sa.String(43), primary_key=True),
    sa.Column("algorithm", sa.String(8), nullable=False),
    sa.Column("public", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("retiring", sa.Float, nullable=True),
    sa.Column("retired", sa.Float, nullable=True),
)


class SigningFault(Exception):
    """There is no key to sign with, or none of that name; one line says why."""


@dataclass(frozen=True)
class Schedule:
    """What keys are made, when the next is due, and how long the last one verifies (seconds)."""

    algorithm: str = "ES256"
    rotate_after: float = 90 * 86400.0
    retire_after: float = 31 * 86400.0


@dataclass(frozen=True, slots=True)
class SigningRecord:
    """What is known of a key; times are epoch seconds, ``ends`` is when it stops verifying."""

    kid: str
    algorithm: str
    public: str
    created: float
    retiring: float | None
    retired: float | None
    ends: float

    def state(self, now: float) -> str:
        """Return ``active``, ``retiring`` or ``retired``."""
        if self.ends <= now:
            return "retired"
        return "active" if self.retiring is None else "retiring"


@dataclass(slots=True)
class _Ring:
    """The ring as it was when the store stood at ``version``."""

    version: int
    records: dict[str, SigningRecord]
    keys: dict[str, VerifyingKey]
    signing: SigningKey | None = None


class SigningKeys:
    """Signs with one key, verifies with all that are not retired."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        now: Callable[[], float],
        schedule: Schedule = Schedule(),
    ) -> None:
        store.register(_metadata)
        self._store, self._folder, self._now = store, folder, now
        self.schedule = schedule
        self._cached = _Ring(-1, {}, {})

    def active(self) -> SigningKey:
        """Return the key to sign with; raises SigningFault where there is none."""
        ring = self._ring()
        if ring.signing is None:
            ring.signing = self._load(self._active_of(ring))
        return ring.signing

    def ready(self) -> str | None:
        """Return a word while nothing can be signed, for a plugin's own `ready`."""
        try:
            self.active()
        except SigningFault:
            return "no_signing_key"
        except StoreUnavailable:
            return "store_unavailable"
        return None

    def public(self, kid: str) -> VerifyingKey | None:
        """Return the key of that id; None for one that is unknown or retired."""
        key = self._ring().keys.get(kid)
        return key if key is not None and key.ends > self._now() else None

    def jwks(self) -> dict[str, Any]:
        """Return every key that verifies, as a public key set (RFC 7517, section 5)."""
        now = self._now()
        records = self._ring().records.values()
        return {
            "keys": [
                keypair.jwk(record.public, record.algorithm, record.kid)
                for record in records
                if record.ends > now
            ]
        }

    def due(self) -> bool:
        """Tell whether there is no active key, or one older than the schedule allows."""
        try:
            record = self._active_of(self._ring())
        except SigningFault:
            return True
        return self._now() - record.created >= self.schedule.rotate_after

    def warnings(self) -> list[str]:
        """Return what an operator should know: a key that is overdue or cannot be used."""
        if not self._ring().records:
            return []
        try:
            kid = self.active().kid
        except SigningFault as fault:
            return [str(fault)]
        if not self.due():
            return []
        age = int((self._now() - self._ring().records[kid].created) // 86400)
        return [(f"the signing key {kid} is {age} days old; fix: secureml signing-keys rotate")]

    def list(self) -> list[SigningRecord]:
        """Return all keys, oldest first."""
        return list(self._ring().records.values())

    def rotate(self, algorithm: str | None = None) -> SigningRecord:
        """Make a new active key; the one before verifies until its tokens have expired."""
        made = keypair.generate(algorithm or self.schedule.algorithm)
        path = self._write(made)
        try:
            self._enter(made)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        records = self._reread().records
        for kid in records.keys() - {made.kid}:
            # A private half that signs no more can only be stolen.
            self._path(kid).unlink(missing_ok=True)
        return records[made.kid]

    def retire(self, kid: str) -> SigningRecord:
        """Stop believing a key, at the next request in every worker.

        The active key gets its successor first: an emergency must not end the service.
        """
        record = self._ring().records.get(kid)
        if record is None:
            raise SigningFault(
                f"there is no signing key {kid!r}; fix: `secureml signing-keys list` shows them"
            )
        now = self._now()
        if record.state(now) == "active":
            self.rotate(record.algorithm)
        if record.retired is None:
            with self._store.begin() as connection:
                connection.execute(_table.update().where(_table.c.kid == kid).values(retired=now))
                self._store.touch(connection, TOPIC)
        self._path(kid).unlink(missing_ok=True)
        return self._reread().records[kid]

    def _enter(self, made: SigningKey) -> None:
        now = self._now()
        with self._store.begin() as connection:
            connection.execute(
                _table.update().where(_table.c.retiring.is_(None)).values(retiring=now)
            )
            connection.execute(
                _table.insert().values(
                    kid=made.kid,
                    algorithm=made.algorithm,
                    public=keypair.public_pem(made.private),
                    created=now,
                )
            )
            self._store.touch(connection, TOPIC)

    def _reread(self) -> _Ring:
        # After a write of our own: another host's store tells of it only within a second.
        self._cached = _Ring(-1, {}, {})
        return self._ring()

    def _ring(self) -> _Ring:
        version = self._store.version(TOPIC)
        if self._cached.version != version:
            with self._store.read() as connection:
                rows = connection.execute(_table.select().order_by("created", "kid")).all()
            records = [self._record(row) for row in rows]
            self._cached = _Ring(
                version,
                {record.kid: record for record in records},
                {record.kid: _verifying(record) for record in records},
            )
        return self._cached

    def _record(self, row: sa.Row[tuple[object, ...]]) -> SigningRecord:
        found = SigningRecord(**row._mapping, ends=inf)  # noqa: SLF001 - SQLAlchemy's own name
        by_age = inf if found.retiring is None else found.retiring + self.schedule.retire_after
        by_hand = inf if found.retired is None else found.retired
        return replace(found, ends=min(by_age, by_hand))

    def _active_of(self, ring: _Ring) -> SigningRecord:
        for record in reversed(ring.records.values()):
            if record.state(self._now()) == "active":
                return record
        raise SigningFault("there is no active signing key; fix: secureml signing-keys rotate")

    def _load(self, record: SigningRecord) -> SigningKey:
        try:
            pem = SecretSource(f"file:{record.kid}.pem").read(self._folder).reveal()
            private = keypair.load_private(pem, record.public)
        except (ConfigError, ValueError) as error:
            raise SigningFault(f"the signing key {record.kid} cannot be used: {error}") from None
        return SigningKey(record.kid, record.algorithm, private)

    def _write(self, made: SigningKey) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(made.kid)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(keypair.private_pem(made.private))
            file.flush()
            os.fsync(handle)
        return path

    def _path(self, kid: str) -> Path:
        # Only ids from the store come here, never one a caller sent.
        return self._folder / f"{kid}.pem"


def _verifying(record: SigningRecord) -> VerifyingKey:
    key = keypair.load_public(record.public)
    return VerifyingKey(record.kid, record.algorithm, key, record.ends)
