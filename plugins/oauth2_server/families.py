"""Families of our tokens: one grant and what came of it.

A family may be ended before it begins, by its code that was presented twice. Each has a mark
that only its refresh tokens carry, so spent ones are known however many there were, none is
kept, and a text that never was a refresh token ends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

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

from .opaque_tokens import digest as digest_of
from .opaque_tokens import family_of, is_marked
from .store import TOPIC

_DAY = 86400.0

_metadata = sa.MetaData()
_families = sa.Table(
    "oauth2_families",
    _metadata,
    *family_columns(),
    sa.Column("oauth_client", sa.String(40), nullable=False, index=True),
    sa.Column("subject", sa.String(63), nullable=False, index=True),
    sa.Column("grant", sa.String(64), nullable=False),
    sa.Column("jkt", sa.String(43), nullable=True),
    sa.Column("mark", sa.String(64), nullable=False),
)
_TABLES = FamilyTables(_families, sa.Table("oauth2_revoked", _metadata, *revoked_columns()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(TokenFamily):
    """One grant; ``subject`` is "" where a machine asked for itself.

    ``jkt`` is the key refresh tokens are bound to; ``current`` the digest of the one that
    counts; ``mark`` the secret by which the family knows whatever refresh token it ever gave,
    "" where it gives none.
    """

    oauth_client: str
    subject: str
    grant: str
    jkt: str | None
    mark: str = field(default="", repr=False)


class Families(TokenFamilies[Family]):
    """Opens, refreshes and ends families; an OAuth client has at most ``most`` of each grant."""

    def __init__(self, store: Store, now: Callable[[], float], most: int) -> None:
        super().__init__(store, now, tables=_TABLES, record=Family, topic=TOPIC, most=most)

    def open(self, family: Family) -> None:
        """Put a family on record; raises FamilyEnded where its id was ended before it began."""
        alike = _families.c.oauth_client == family.oauth_client, _families.c.grant == family.grant
        try:
            with self._store.begin() as connection:
                self._sweep(connection, *alike)
                self._insert(connection, family)
        except sa.exc.IntegrityError:
            raise FamilyEnded("replayed") from None

    def for_refresh_token(self, text: str) -> Family:
        """Return the family whose refresh token a text is; raises FamilyEnded.

        One that its family gave and that does not count any more was spent: that ends the
        family, and the reason is ``replayed``.
        """
        try:
            return self.for_refresh_digest(digest_of(text))
        except FamilyEnded as ended:
            if ended.reason == "family_unknown" and self._end_marked(text):
                raise FamilyEnded("replayed") from None
            raise

    def for_refresh_digest(self, digest: str) -> Family:
        """Return the family whose refresh token this is, and change nothing; raises FamilyEnded."""
        with self._store.read() as connection:
            query = _families.select().where(_families.c.current == digest)
            return self._require_active(connection.execute(query).first())

    def end(self, family: str) -> bool:
        """End one family, begun or not; tell whether it was active."""
        try:
            with self._store.begin() as connection:
                # Its code came twice before it was traded: nothing may begin under this id.
                self._insert(connection, self._tombstone(family))
        except sa.exc.IntegrityError:  # it has begun
            return super().end(family)
        return False

    def end_all(
        self,
        *,
        oauth_client: str | None = None,
        subject: str | None = None,
        grant: str | None = None,
    ) -> int:
        """End all families of an OAuth client or of a person; return how many were active.

        ``grant`` ends those of one grant alone.
        """
        which = (
            _families.c.subject == subject
            if oauth_client is None
            else _families.c.oauth_client == oauth_client
        )
        return self._end_all(which if grant is None else which & (_families.c.grant == grant))

    def list(self, oauth_clients: Collection[str]) -> list[Family]:
        """Return what is active of these OAuth clients, oldest first."""
        return self._select(
            _families.c.oauth_client.in_(oauth_clients),
            _families.c.revoked.is_(None),
            _families.c.expires > self._now(),
        )

    def _end_marked(self, text: str) -> bool:
        family = family_of(text)
        if family is None:
            return False
        with self._store.begin() as connection:
            query = sa.select(_families.c.mark).where(_families.c.id == family)
            mark = connection.execute(query).scalar()
            if not mark or not is_marked(text, mark):
                return False
            self._end(connection, _families.c.id == family)
        return True

    def _tombstone(self, family: str) -> Family:
        now = self._now()
        return Family(
            id=family,
            oauth_client="",
            client="",
            subject="",
            grant="",
            scopes=frozenset(),
            jkt=None,
            created=now,
            expires=now + _DAY,
            current=None,
            revoked=now,
        )
