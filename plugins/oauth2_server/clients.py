"""OAuth clients: programs that may ask for tokens, each for one client of the application.

A record names what it may do; what its tokens may do is never more than its local client
holds now. Records are cached until the store says that one changed. Secrets are kept hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .opaque_tokens import SECRET, new_id, new_token
from .store import TOPIC

CODE = "authorization_code"
REFRESH = "refresh_token"
MACHINE = "client_credentials"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
# What an operator types, and what the protocol calls it.
GRANTS = {"code": CODE, "refresh": REFRESH, "client-credentials": MACHINE, "device": DEVICE}
PREFIX = "oc_"
CACHE_SIZE = 4096  # names come from outside, so what is remembered is bounded
LONGEST = 40  # characters of an id

_metadata = sa.MetaData()
_table = sa.Table(
    "oauth2_clients",
    _metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("client", sa.String(63), nullable=False, index=True),
    sa.Column("label", sa.String(80), nullable=False),
    sa.Column("secret", sa.String(255), nullable=True),
    sa.Column("grants", sa.JSON, nullable=False),
    sa.Column("redirects", sa.JSON, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=True),
    sa.Column("dpop", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("revoked", sa.Float, nullable=True),
)


class ClientFault(Exception):
    """A client cannot be added, found or changed; one line says why."""


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """One program; without a ``secret`` it is public. ``scopes`` None is all its client's."""

    id: str
    client: str
    label: str
    secret: str | None = field(repr=False)
    grants: frozenset[str]
    redirects: frozenset[str]
    scopes: frozenset[str] | None
    dpop: bool
    created: float
    revoked: float | None

    def narrowed(self, grant_record: frozenset[str]) -> frozenset[str]:
        """Return which of the rights its local client holds it may use."""
        return grant_record if self.scopes is None else grant_record & self.scopes


class OAuthClients:
    """Adds, finds, rotates and revokes OAuth clients."""

    def __init__(
        self, store: Store, now: Callable[[], float], hashed: Callable[[str], str]
    ) -> None:
        store.register(_metadata)
        self._store, self._now, self._hashed = store, now, hashed
        self._cache: tuple[int, dict[str, OAuthClient | None]] = (-1, {})

    def get(self, name: str) -> OAuthClient | None:
        """Return a client that is not revoked, or None."""
        if len(name) > LONGEST:
            return None  # what cannot be is not remembered either
        version = self._store.version(TOPIC)
        cached, clients = self._cache
        if cached != version or len(clients) >= CACHE_SIZE:
            clients = {}
            self._cache = (version, clients)
        if name not in clients:
            with self._store.read() as connection:
                row = connection.execute(_table.select().where(_table.c.id == name)).first()
            clients[name] = None if row is None or row.revoked is not None else _client(row)
        return clients[name]

    def add(
        self,
        client: str,
        *,
        grants: Collection[str],
        redirects: Collection[str] = (),
        scopes: Collection[str] | None = None,
        public: bool = False,
        dpop: bool = False,
        label: str = "",
    ) -> tuple[OAuthClient, str | None]:
        """Add a client; return it and its secret, which is not kept. Raises ClientFault."""
        _check(grants, redirects, public)
        secret = None if public else new_token(SECRET)
        made = OAuthClient(
            PREFIX + new_id(),
            client,
            label or client,
            None if secret is None else self._hashed(secret),
            frozenset(grants),
            frozenset(redirects),
            None if scopes is None else frozenset(scopes),
            dpop,
            self._now(),
            None,
        )
        with self._store.begin() as connection:
            connection.execute(_table.insert().values(_row(made)))
            self._store.touch(connection, TOPIC)
        return made, secret

    def list(self, client: str | None = None) -> list[OAuthClient]:
        """Return all, oldest first, revoked ones too."""
        query = _table.select().order_by(_table.c.created, _table.c.id)
        if client is not None:
            query = query.where(_table.c.client == client)
        with self._store.read() as connection:
            return [_client(row) for row in connection.execute(query)]

    def rotate(self, name: str) -> tuple[OAuthClient, str]:
        """Give a client another secret; the old one ends at once."""
        found = self._require(name)
        if found.secret is None:
            raise ClientFault(f"{name} is public: it has no secret")
        secret = new_token(SECRET)
        self._change(name, secret=self._hashed(secret))
        return found, secret

    def revoke(self, name: str) -> OAuthClient:
        """End a client from the next request on; it cannot come back."""
        found = self._require(name)
        self._change(name, revoked=self._now())
        return found

    def _require(self, name: str) -> OAuthClient:
        found = self.get(name)
        if found is None:
            raise ClientFault(
                f"there is no OAuth client {name!r}; `secureml oauth2-server clients list`"
            )
        return found

    def _change(self, name: str, **values: object) -> None:
        with self._store.begin() as connection:
            connection.execute(_table.update().where(_table.c.id == name).values(**values))
            self._store.touch(connection, TOPIC)


def _check(grants: Collection[str], redirects: Collection[str], public: bool) -> None:
    if not set(grants) - {REFRESH}:
        raise ClientFault("a client needs a grant: code, device or client-credentials")
    if unknown := set(grants) - set(GRANTS.values()):
        raise ClientFault(f"there is no grant {min(unknown)!r}")
    if (CODE in grants) != bool(redirects):
        raise ClientFault("the grant code and --redirect go together")
    if public and MACHINE in grants:
        raise ClientFault("a public client proves nothing: it cannot have client-credentials")
    if REFRESH in grants and not {CODE, DEVICE} & set(grants):
        raise ClientFault("refresh goes with code or device: a machine simply asks again")


def _row(made: OAuthClient) -> dict[str, object]:
    return {
        "id": made.id,
        "client": made.client,
        "label": made.label,
        "secret": made.secret,
        "grants": sorted(made.grants),
        "redirects": sorted(made.redirects),
        "scopes": None if made.scopes is None else sorted(made.scopes),
        "dpop": made.dpop,
        "created": made.created,
    }


def _client(row: sa.Row[tuple[object, ...]]) -> OAuthClient:
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name for it
    scopes = found.pop("scopes")
    for name in ("grants", "redirects"):
        found[name] = frozenset(found[name])
    return OAuthClient(scopes=None if scopes is None else frozenset(scopes), **found)
