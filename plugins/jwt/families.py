"""Families of our tokens: what came of one trade, which ends with what it was traded for.

Each family remembers its origin, the credential it was traded for, and never outlives that.

Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf

import sqlalchemy as sa

from secureml.kit.protocols import Store
from secureml.kit.token_families import (
    FamilyEnded,
    FamilyTables,
    TokenFamilies,
    TokenFamily,
    family_columns,
    revoked_columns,
)

TOPIC = "jwt"
# A credential that has ended, and one that ends at a moment: what is traded for it obeys.
_ORIGIN, _UNTIL = "from", "until"
_TRADE = 3600.0  # how long a trade could be under way, with much to spare

_metadata = sa.MetaData()
_families = sa.Table(
    "jwt_families",
    _metadata,
    *family_columns(),
    sa.Column("origin", sa.String(64), nullable=False, index=True),
)
_revoked = sa.Table("jwt_revoked", _metadata, *revoked_columns())
_TABLES = FamilyTables(_families, _revoked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(TokenFamily):
    """One trade; ``origin`` is the credential it was made for, ``current`` a refresh token's id."""

    origin: str
    current: str


class Families(TokenFamilies[Family]):
    """Opens, refreshes and ends families; at most ``most`` of one client are kept."""

    def __init__(
        self, store: Store, now: Callable[[], float], new_id: Callable[[], str], most: int = 1000
    ) -> None:
        super().__init__(store, now, tables=_TABLES, record=Family, topic=TOPIC, most=most)
        self._new_id = new_id

    def open(
        self,
        client: str,
        *,
        scopes: Collection[str],
        origin: str,
        lifetime: float,
        until: float | None = None,
    ) -> Family:
        """Begin a family that ends ``lifetime`` seconds from now, however often it is used.

        It ends earlier where the credential it is traded for does, at ``until``. Raises
        FamilyEnded where that has ended meanwhile.
        """
        now = self._now()
        with self._store.begin() as connection:
            self._sweep(connection, _families.c.client == client)
            expires = _end_of(connection, origin, now + lifetime, until)
            if expires <= now:
                raise FamilyEnded("origin_ended")
            family = Family(
                id=self._new_id(),
                client=client,
                scopes=frozenset(scopes),
                origin=origin,
                created=now,
                expires=expires,
                current=self._new_id(),
                revoked=None,
            )
            self._insert(connection, family)
        return family

    def refresh(self, family: str, jti: str) -> Family:
        """Trade a refresh token for the next, as `rotate`."""
        return self.rotate(family, jti, self._new_id())

    def end_client(self, client: str) -> int:
        """End all families of a client; return how many were active."""
        return self._end_all(_families.c.client == client)

    def end_before(self, moment: float) -> int:
        """End all families begun at or before a moment; return how many were active."""
        return self._end_all(_families.c.created <= moment)

    def end_origin(self, credential: str, *, ended: bool = False) -> int:
        """End all families traded for one credential; return how many were active.

        ``ended`` says that the credential itself has ended.
        """
        with self._store.begin() as connection:
            if ended:
                # A trade that was under way in that moment must not begin a family now.
                self._revoke(connection, _ORIGIN, credential, self._now() + _TRADE)
            return self._end(connection, _families.c.origin == credential)

    def limit_origin(self, credential: str, moment: float) -> int:
        """Let no family traded for a credential outlive a moment; return how many would have."""
        with self._store.begin() as connection:
            # As above: a trade that knows the credential as it was is under way perhaps.
            self._revoke(connection, _UNTIL, credential, moment + _TRADE)
            limited = connection.execute(
                _families.update()
                .where(_families.c.origin == credential, _families.c.expires > moment)
                .values(expires=moment)
            )
            return limited.rowcount

    def list(self, client: str | None = None) -> list[Family]:
        """Return the families on record, oldest first, of one client or of all."""
        return self._select(*([] if client is None else [_families.c.client == client]))


def _end_of(connection: sa.Connection, origin: str, latest: float, until: float | None) -> float:
    """Return when a family must end: with the credential it is traded for at the latest."""
    named = _TABLES.named(_ORIGIN, origin) | _TABLES.named(_UNTIL, origin)
    ends = [latest] if until is None else [latest, until]
    found = connection.execute(sa.select(_revoked).where(named))
    return min([*ends, *(row.expires - _TRADE if row.kind == _UNTIL else -inf for row in found)])
