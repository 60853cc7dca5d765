"""Families of tokens: one grant and every token that came of it, which live and die together.

A token is believed only while its family is on record, has not ended, and neither the token
nor the key that signed it was revoked; so a lost table opens nothing. Of refresh tokens only
the newest counts. An older one that comes back was copied, and since nobody can tell the thief
from the owner, the family ends (RFC 9700, 4.14.2).

A plugin declares its tables with `family_columns` and `revoked_columns`, its record with a
subclass of `TokenFamily`, and adds to a subclass of `TokenFamilies` how a family begins and what
else ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from secureml.kit.protocols import Store

TOKEN, KEY = "token", "key"  # what can be revoked by name
# Single tokens of one family revoked at one time; beyond, it ends: that refuses more, never less.
MOST_REVOKED = 100


class FamilyEnded(Exception):
    """The family or the token is not active; ``reason`` is a word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFamily:
    """One family; a field that a subclass adds is a column of the plugin's table.

    Times are epoch seconds; ``current`` is the id or digest of the one refresh token that
    counts, None where there is none.
    """

    id: str
    client: str
    scopes: frozenset[str]
    created: float
    expires: float
    current: str | None
    revoked: float | None


def family_columns() -> list[sa.Column[Any]]:
    """Return the columns of a table of families; a plugin adds its own."""
    return [
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("client", sa.String(63), nullable=False, index=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False, index=True),
        sa.Column("current", sa.String(64), nullable=True, unique=True),
        sa.Column("revoked", sa.Float, nullable=True),
    ]


def revoked_columns() -> list[sa.Column[Any]]:
    """Return the columns of a table of revoked names.

    A row is kept while a token of that name, or signed by that key, could be alive.
    """
    return [
        sa.Column("kind", sa.String(5), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("expires", sa.Float, nullable=False, index=True),
        sa.Column("family", sa.String(32), nullable=False, server_default="", index=True),
    ]


class FamilyTables:
    """The tables of one plugin, of the same metadata."""

    def __init__(self, families: sa.Table, revoked: sa.Table) -> None:
        self.families, self.revoked = families, revoked
        # Asked for every token not verified before, so it is put together once.
        kind = (
            sa.select(sa.func.min(revoked.c.kind))
            .where(self.named(TOKEN, sa.bindparam("token")) | self.named(KEY, sa.bindparam("key")))
            .scalar_subquery()
            .label("revoked_kind")
        )
        self.active = sa.select(families, kind).where(families.c.id == sa.bindparam("family"))

    def named(self, kind: str, name: Any) -> sa.ColumnElement[bool]:
        """Return the condition for one revoked name."""
        return sa.and_(self.revoked.c.kind == kind, self.revoked.c.name == name)


F = TypeVar("F", bound=TokenFamily)


class TokenFamilies(Generic[F]):
    """The families of one plugin; whatever ends one touches ``topic``, a refresh does not.

    ``record`` is the plugin's class of families. At most ``most`` are kept of those that a
    plugin sweeps together, of one client as a rule.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        *,
        tables: FamilyTables,
        record: type[F],
        topic: str,
        most: int,
    ) -> None:
        store.register(tables.families.metadata)
        self._store, self._now, self._most = store, now, most
        self._tables, self._record, self._topic = tables, record, topic
        self._names = [field.name for field in fields(record)]

    def require_active(self, family: str, jti: str, kid: str = "") -> F:
        """Return the family that a token names; ``kid`` is the key that signed the token.

        Raises FamilyEnded: ``family_unknown``, ``family_revoked``, ``family_expired``,
        ``token_revoked``, ``key_revoked``.
        """
        with self._store.read() as connection:
            presented = {"family": family, "token": jti, "key": kid}
            row = connection.execute(self._tables.active, presented).first()
        if row is not None and row.revoked_kind is not None:
            raise FamilyEnded(f"{row.revoked_kind}_revoked")
        return self._require_active(row)

    def rotate(self, family: str, spent: str, successor: str) -> F:
        """Put another refresh token in the place of one, once; return the family.

        Both are what stands in ``current``. Raises FamilyEnded; ``replayed`` where the token
        does not count any more, which ends the family.
        """
        table = self._tables.families
        with self._store.begin() as connection:
            rotated = connection.execute(
                table.update()
                .where(table.c.id == family, table.c.current == spent)
                .where(table.c.revoked.is_(None))
                .values(current=successor)
            ).rowcount
            row = connection.execute(table.select().where(table.c.id == family)).first()
            replayed = not rotated and row is not None and row.revoked is None
            if replayed:
                self._end(connection, table.c.id == family)
        if replayed:
            raise FamilyEnded("replayed")
        return self._require_active(row)

    def end(self, family: str) -> bool:
        """End one family and every token of it; tell whether it was active."""
        return bool(self._end_all(self._tables.families.c.id == family))

    def end_token(self, jti: str, expires: float, family: str = "") -> None:
        """Revoke one token by id; the id of a refresh token that counts ends its family.

        ``expires`` is when no token of that id can be alive. With ``family``, its own, that
        ends instead where so many of its tokens are revoked already.
        """
        table = self._tables.families
        with self._store.begin() as connection:
            if self._end(connection, table.c.current == jti):
                return
            if family and self._is_full(connection, family):
                self._end(connection, table.c.id == family)
            else:
                self._revoke(connection, TOKEN, jti, expires, family)

    def end_key(self, kid: str, expires: float) -> None:
        """Revoke whatever a signing key has signed; none of it can be alive after ``expires``."""
        with self._store.begin() as connection:
            self._revoke(connection, KEY, kid, expires)

    def _insert(self, connection: sa.Connection, family: F) -> None:
        row: dict[str, Any] = {name: getattr(family, name) for name in self._names}
        row["scopes"] = sorted(family.scopes)
        connection.execute(self._tables.families.insert().values(row))

    def _select(self, *which: sa.ColumnElement[bool]) -> list[F]:
        """Return the families on record that meet these conditions, oldest first."""
        table = self._tables.families
        query = table.select().where(*which).order_by(table.c.created, table.c.id)
        with self._store.read() as connection:
            return [self._family(row) for row in connection.execute(query)]

    def _require_active(self, row: sa.Row[Any] | None) -> F:
        if row is None:
            raise FamilyEnded("family_unknown")
        if row.revoked is not None:
            raise FamilyEnded("family_revoked")
        if row.expires <= self._now():
            raise FamilyEnded("family_expired")
        return self._family(row)

    def _family(self, row: sa.Row[Any]) -> F:
        found = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name for it
        facts = {name: found[name] for name in self._names}
        return self._record(**{**facts, "scopes": frozenset(found["scopes"])})

    def _end_all(self, which: sa.ColumnElement[bool]) -> int:
        """End all families that meet a condition; return how many were active."""
        with self._store.begin() as connection:
            return self._end(connection, which)

    def _end(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
        table = self._tables.families
        ended = connection.execute(
            table.update().where(which, table.c.revoked.is_(None)).values(revoked=self._now())
        )
        if ended.rowcount:
            self._store.touch(connection, self._topic)
        return ended.rowcount

    def _revoke(
        self, connection: sa.Connection, kind: str, name: str, expires: float, family: str = ""
    ) -> None:
        table = self._tables.revoked
        connection.execute(table.delete().where(self._tables.named(kind, name)))
        row = {"kind": kind, "name": name, "expires": expires, "family": family}
        connection.execute(table.insert().values(row))
        self._store.touch(connection, self._topic)

    def _is_full(self, connection: sa.Connection, family: str) -> bool:
        table = self._tables.revoked
        connection.execute(table.delete().where(table.c.expires <= self._now()))
        number = sa.select(sa.func.count()).where(table.c.family == family)
        return connection.execute(number).scalar_one() >= MOST_REVOKED

    def _sweep(self, connection: sa.Connection, *alike: sa.ColumnElement[bool]) -> None:
        """Forget what is over, and make room for one more of those that are alike."""
        table = self._tables.families
        for expiring in (table, self._tables.revoked):
            connection.execute(expiring.delete().where(expiring.c.expires <= self._now()))
        newest = (
            sa.select(table.c.id)
            .where(*alike)
            .order_by(table.c.created.desc(), table.c.id)
            .offset(self._most - 1)
        )
        surplus = connection.execute(newest).scalars().all()
        if surplus:
            connection.execute(table.delete().where(table.c.id.in_(surplus)))
            self._store.touch(connection, self._topic)
