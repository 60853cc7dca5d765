"""Families: a refresh token and all that came of it, which live and die together.

A token that was traded belongs to a family, and so does every token refreshed from it. Only
the newest refresh token of a family counts; an older one that comes back was copied, and
since nobody can tell the thief from the owner, the family ends (RFC 9700, 4.14.2). A token
whose family is not on record is refused, so a lost table opens nothing.

Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from typing import Any

import sqlalchemy as sa

from secureml.kit.protocols import Store

TOPIC = "jwt"
# A credential that has ended, and one that ends at a moment: what is traded for it obeys.
_ORIGIN, _UNTIL = "from", "until"
_TRADE = 3600.0  # how long a trade could be under way, with much to spare
# Single tokens of one family refused at one time; beyond, it ends: that refuses more, never less.
MOST_REFUSED = 100

_metadata = sa.MetaData()
_families = sa.Table(
    "jwt_families",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("client", sa.String(63), nullable=False, index=True),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("origin", sa.String(64), nullable=False, index=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False, index=True),
    sa.Column("current", sa.String(32), nullable=False, index=True),
    sa.Column("revoked", sa.Float, nullable=True),
)
# Single tokens and signing keys refused by name, kept while one of theirs could be alive.
_refused = sa.Table(
    "jwt_refused",
    _metadata,
    sa.Column("kind", sa.String(5), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("expires", sa.Float, nullable=False, index=True),
    sa.Column("family", sa.String(32), nullable=False, server_default="", index=True),
)


class FamilyEnded(Exception):
    """The family does not stand; ``reason`` is a word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TokenFamily:
    """One trade and what came of it; ``origin`` is the credential it was traded for.

    Times are epoch seconds; ``current`` is the id of the one refresh token that counts.
    """

    id: str
    client: str
    scopes: frozenset[str]
    origin: str
    created: float
    expires: float
    current: str
    revoked: float | None


class Families:
    """Opens, refreshes and ends families; at most ``most`` of one client are kept."""

    def __init__(
        self, store: Store, now: Callable[[], float], new_id: Callable[[], str], most: int = 1000
    ) -> None:
        store.register(_metadata)
        self._store, self._now, self._new_id, self._most = store, now, new_id, most

    def open(
        self,
        client: str,
        *,
        scopes: Collection[str],
        origin: str,
        lifetime: float,
        until: float | None = None,
    ) -> TokenFamily:
        """Begin a family that ends ``lifetime`` seconds from now, however often it is used.

        It ends earlier where the credential it is traded for does, at ``until``. Raises Ended
        where that has ended meanwhile.
        """
        now = self._now()
        row: dict[str, Any] = {
            "id": self._new_id(),
            "client": client,
            "scopes": sorted(scopes),
            "origin": origin,
            "created": now,
            "current": self._new_id(),
            "revoked": None,
        }
        with self._store.begin() as connection:
            self._sweep(connection, client, now)
            row["expires"] = _end_of(connection, origin, now + lifetime, until)
            if row["expires"] <= now:
                raise FamilyEnded("origin_ended")
            connection.execute(_families.insert().values(row))
        return TokenFamily(**{**row, "scopes": frozenset(scopes)})

    def require_active(self, family: str, *, jti: str, kid: str) -> TokenFamily:
        """Return the family a token names; raises Ended for one of which anything was revoked."""
        asked = {"family": family, "token": jti, "key": kid}
        with self._store.read() as connection:
            row = connection.execute(_standing, asked).first()
        if row is not None and row.barred is not None:
            raise FamilyEnded(f"{row.barred}_revoked")
        return self._is_valid(row)

    def rotate(self, family: str, jti: str) -> TokenFamily:
        """Trade a refresh token for the next; raises Ended, and ends the family on a second use."""
        with self._store.begin() as connection:
            turned = connection.execute(
                _families.update()
                .where(_families.c.id == family, _families.c.current == jti)
                .where(_families.c.revoked.is_(None))
                .values(current=self._new_id())
            )
            row = connection.execute(_families.select().where(_families.c.id == family)).first()
            if not turned.rowcount and row is not None and row.revoked is None:
                self._end(connection, _families.c.id == family)
                replayed = True
            else:
                replayed = False
        if replayed:
            raise FamilyEnded("replayed")
        return self._is_valid(row)

    def end(self, family: str) -> None:
        """End one family and every token of it."""
        with self._store.begin() as connection:
            self._end(connection, _families.c.id == family)

    def end_client(self, client: str) -> int:
        """End all families of a client; return how many stood."""
        with self._store.begin() as connection:
            return self._end(connection, _families.c.client == client)

    def end_origin(self, credential: str, *, ended: bool = False) -> int:
        """End all families traded for one credential; return how many stood.

        ``ended`` says that the credential itself has ended.
        """
        with self._store.begin() as connection:
            if ended:
                # A trade that was under way in that moment must not begin a family now.
                self._refuse(connection, _ORIGIN, credential, _TRADE)
            return self._end(connection, _families.c.origin == credential)

    def limit_origin(self, credential: str, moment: float) -> int:
        """Let no family traded for a credential outlive a moment; return how many would have."""
        with self._store.begin() as connection:
            # As above: a trade that knows the credential as it was is under way perhaps.
            self._refuse(connection, _UNTIL, credential, moment - self._now())
            limited = connection.execute(
                _families.update()
                .where(_families.c.origin == credential, _families.c.expires > moment)
                .values(expires=moment)
            )
            return limited.rowcount

    def end_before(self, moment: float) -> int:
        """End all families begun at or before a moment; return how many stood."""
        with self._store.begin() as connection:
            return self._end(connection, _families.c.created <= moment)

    def end_token(self, jti: str, *, keep: float, family: str | None = None) -> None:
        """Refuse one token by id; a refresh token takes its family along.

        ``keep`` is in seconds: no token of that id can be alive after it. With ``family``, its
        own, that ends instead where so many of its tokens are refused already.
        """
        with self._store.begin() as connection:
            if self._end(connection, _families.c.current == jti):
                return
            if family is not None and self._is_full(connection, family):
                self._end(connection, _families.c.id == family)
            else:
                self._refuse(connection, "token", jti, keep, family or "")

    def end_key(self, kid: str, *, keep: float) -> None:
        """Refuse whatever a signing key has signed."""
        with self._store.begin() as connection:
            self._refuse(connection, "key", kid, keep)

    def list(self, client: str | None = None) -> list[TokenFamily]:
        """Return the families on record, oldest first, of one client or of all."""
        query = _families.select().order_by(_families.c.created, _families.c.id)
        if client is not None:
            query = query.where(_families.c.client == client)
        with self._store.read() as connection:
            return [_family(row) for row in connection.execute(query)]

    def _is_valid(self, row: sa.Row[tuple[object, ...]] | None) -> TokenFamily:
        if row is None:
            raise FamilyEnded("family_unknown")
        family = _family(row)
        if family.revoked is not None:
            raise FamilyEnded("family_revoked")
        if family.expires <= self._now():
            raise FamilyEnded("family_expired")
        return family

    def _end(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
        ended = connection.execute(
            _families.update()
            .where(which, _families.c.revoked.is_(None))
            .values(revoked=self._now())
        )
        if ended.rowcount:
            self._store.touch(connection, TOPIC)
        return ended.rowcount

    def _refuse(
        self, connection: sa.Connection, kind: str, name: str, keep: float, family: str = ""
    ) -> None:
        connection.execute(_refused.delete().where(_named(kind, name)))
        row = {"kind": kind, "name": name, "expires": self._now() + keep, "family": family}
        connection.execute(_refused.insert().values(row))
        self._store.touch(connection, TOPIC)

    def _is_full(self, connection: sa.Connection, family: str) -> bool:
        connection.execute(_refused.delete().where(_over(self._now())))
        number = sa.select(sa.func.count()).where(_refused.c.family == family)
        return connection.execute(number).scalar_one() >= MOST_REFUSED

    def _sweep(self, connection: sa.Connection, client: str, now: float) -> None:
        """Forget what is over, and a client's oldest families beyond the most it may have."""
        connection.execute(_families.delete().where(_families.c.expires <= now))
        connection.execute(_refused.delete().where(_over(now)))
        newest = (
            sa.select(_families.c.id)
            .where(_families.c.client == client)
            .order_by(_families.c.created.desc(), _families.c.id)
            .offset(self._most - 1)
        )
        surplus = connection.execute(newest).scalars().all()
        if surplus:
            connection.execute(_families.delete().where(_families.c.id.in_(surplus)))
            self._store.touch(connection, TOPIC)


def _end_of(connection: sa.Connection, origin: str, latest: float, until: float | None) -> float:
    """Return when a family must end: with the credential it is traded for at the latest."""
    query = sa.select(_refused).where(_named(_ORIGIN, origin) | _named(_UNTIL, origin))
    ends = [latest] if until is None else [latest, until]
    found = connection.execute(query)
    return min([*ends, *(row.expires if row.kind == _UNTIL else -inf for row in found)])


def _over(now: float) -> sa.ColumnElement[bool]:
    late = sa.and_(_refused.c.kind == _UNTIL, _refused.c.expires <= now - _TRADE)
    return late | sa.and_(_refused.c.kind != _UNTIL, _refused.c.expires <= now)


def _named(kind: str, name: Any) -> sa.ColumnElement[bool]:
    return sa.and_(_refused.c.kind == kind, _refused.c.name == name)


# Asked for every token not proven before, so it is put together once.
_standing = sa.select(
    _families,
    sa.select(sa.func.min(_refused.c.kind))
    .where(_named("token", sa.bindparam("token")) | _named("key", sa.bindparam("key")))
    .scalar_subquery()
    .label("barred"),
).where(_families.c.id == sa.bindparam("family"))


def _family(row: sa.Row[tuple[object, ...]]) -> TokenFamily:
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name for it
    found.pop("barred", None)
    return TokenFamily(**{**found, "scopes": frozenset(found["scopes"])})
