"""Clients: who may call. Every credential, key or token, belongs to one.

A client is a named owner with a tier, scopes and models. What a request sees of it is
never older than the request: see ``Store.version``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from secureml.state.scopes import MODEL, RIGHT
from secureml.state.store import Store

TOPIC = "clients"
DEFAULT_SCOPES = frozenset({"predict", "models:read"})
ALL_MODELS = frozenset({"*"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_WORD = re.compile(r"[a-z][a-z0-9:._-]{0,63}")
CACHE_SIZE = 4096  # names that are asked for may come from outside, so they are bounded

_FIX = {
    "client name": "up to 63 of a-z 0-9 . _ - and a letter or digit first",
    "tier": "up to 64 of a-z 0-9 : . _ - and a letter first",
    "scope": "write models:read, predict@MODEL or predict@MODEL@VERSION",
    "model name": "write MODEL or MODEL@VERSION, or * for all",
}

_metadata = sa.MetaData()
_table = sa.Table(
    "clients",
    _metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("tier", sa.String(64), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("models", sa.JSON, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)


class ClientError(Exception):
    """A client cannot be added, found or changed; one line says why."""


@dataclass(frozen=True, slots=True)
class Client:
    """One named owner; ``models`` holds names, or ``*`` for all; ``created`` is epoch seconds."""

    name: str
    tier: str
    scopes: frozenset[str]
    models: frozenset[str]
    enabled: bool
    created: float


class Clients:
    """The clients of this site; reads are cached until the store says that one changed."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self._cache: tuple[int, dict[str, Client | None]] = (-1, {})

    def get(self, name: str) -> Client | None:
        """Return the client as it is now, or None."""
        version = self._store.version(TOPIC)
        cached, clients = self._cache
        if cached != version or len(clients) >= CACHE_SIZE:
            clients = {}
            self._cache = (version, clients)
        try:
            return clients[name]
        except KeyError:
            found = clients[name] = self._read(name)
            return found

    def add(
        self,
        name: str,
        *,
        tier: str = "standard",
        scopes: Iterable[str] | None = None,
        models: Iterable[str] | None = None,
    ) -> Client:
        """Add a client; None for scopes is predict and models:read, None for models is all.

        An empty list is no right at all, and means it. Raises ClientError.
        """
        rights = _rights(tier, _default(scopes, DEFAULT_SCOPES), _default(models, ALL_MODELS))
        created = self._now()
        row = {"name": _shaped(name, _NAME, "client name"), "enabled": True, "created": created}
        try:
            with self._store.begin() as connection:
                connection.execute(_table.insert().values(row | rights))
                self._store.touch(connection, TOPIC)
        except sa.exc.IntegrityError:
            raise ClientError(f"the client {name!r} exists already") from None
        return _client_of(row | rights)

    def change(
        self,
        name: str,
        *,
        tier: str | None = None,
        scopes: Iterable[str] | None = None,
        models: Iterable[str] | None = None,
    ) -> Client:
        """Change what a client may, from the next request in every worker; None leaves as it is.

        Raises ClientError.
        """
        with self._store.begin() as connection:
            row = connection.execute(_table.select().where(_table.c.name == name)).first()
            if row is None:
                raise ClientError(f"there is no client {name!r}")
            before = _client(row)
            rights = _rights(
                before.tier if tier is None else tier,
                _default(scopes, before.scopes),
                _default(models, before.models),
            )
            connection.execute(_table.update().where(_table.c.name == name).values(rights))
            self._store.touch(connection, TOPIC)
            return _client_of({**row._mapping, **rights})  # noqa: SLF001 - as below

    def list(self) -> list[Client]:
        """Return all clients by name."""
        with self._store.read() as connection:
            return [_client(row) for row in connection.execute(_table.select().order_by("name"))]

    def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Let a client in or keep it out, from the next request in every worker."""
        with self._store.begin() as connection:
            changed = connection.execute(
                _table.update().where(_table.c.name == name).values(enabled=enabled)
            )
            if changed.rowcount == 0:
                raise ClientError(f"there is no client {name!r}")
            self._store.touch(connection, TOPIC)

    def _read(self, name: str) -> Client | None:
        with self._store.read() as connection:
            row = connection.execute(_table.select().where(_table.c.name == name)).first()
        return _client(row) if row is not None else None


def _rights(tier: str, scopes: Iterable[str], models: Iterable[str]) -> dict[str, Any]:
    return {
        "tier": _shaped(tier, _WORD, "tier"),
        "scopes": sorted({_shaped(scope, RIGHT, "scope") for scope in scopes}),
        "models": sorted({_shaped(model, MODEL, "model name") for model in models}),
    }


def _client(row: sa.Row[tuple[object, ...]]) -> Client:
    return _client_of(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's documented name for it


def _client_of(found: Mapping[str, Any]) -> Client:
    return Client(
        found["name"],
        found["tier"],
        frozenset(found["scopes"]),
        frozenset(found["models"]),
        bool(found["enabled"]),
        found["created"],
    )


def _default(given: Iterable[str] | None, default: Iterable[str]) -> Iterable[str]:
    return default if given is None else given


def _shaped(text: str, shape: re.Pattern[str], kind: str) -> str:
    if not shape.fullmatch(text):
        raise ClientError(f"{text[:80]!r} is not a valid {kind}; fix: {_FIX[kind]}")
    return text
