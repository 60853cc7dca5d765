"""Families: one grant and every token that came of it, which live and die together.

An access token is believed only while its family is on record, stands, and the token itself
was not taken back. Of refresh tokens only the newest counts; one that was spent and comes
back was copied, and since nobody can tell the thief from the owner, the family ends
(RFC 9700, 4.14.2). A text that never was a refresh token ends nothing. Each carries a mark that
only its family can make, so spent ones are known however many there were, and none is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from .opaque_tokens import digest as digest_of
from .opaque_tokens import family_of, is_marked
from .store import TOPIC, Store

# Single tokens of one family refused at one time; beyond, it ends: that refuses more, never less.
MOST_REFUSED = 100

_metadata = sa.MetaData()
_families = sa.Table(
    "oauth2_families",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("oauth_client", sa.String(40), nullable=False, index=True),
    sa.Column("client", sa.String(63), nullable=False, index=True),
    sa.Column("subject", sa.String(63), nullable=False, index=True),
    sa.Column("grant", sa.String(64), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("jkt", sa.String(43), nullable=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False, index=True),
    sa.Column("current", sa.String(64), nullable=True, unique=True),
    sa.Column("revoked", sa.Float, nullable=True),
    sa.Column("mark", sa.String(64), nullable=True),
)
# Spent refresh tokens from before there were marks: one of a family.
_spent = sa.Table(
    "oauth2_spent",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("family", sa.String(32), nullable=False),
    sa.Column("expires", sa.Float, nullable=False, index=True),
)
# Single access tokens that were taken back, kept while they could be alive.
_refused = sa.Table(
    "oauth2_refused",
    _metadata,
    sa.Column("jti", sa.String(32), primary_key=True),
    sa.Column("expires", sa.Float, nullable=False, index=True),
    sa.Column("family", sa.String(32), nullable=False, server_default="", index=True),
)


class FamilyEnded(Exception):
    """The family does not stand; ``reason`` is a word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Family:
    """One grant; ``subject`` is "" where a machine asked for itself.

    Times are epoch seconds; ``jkt`` is the key refresh tokens are bound to; ``current`` the
    digest of the one refresh token that counts, None where there is none; ``mark`` the secret
    by which the family knows whatever refresh token it ever gave.
    """

    id: str
    oauth_client: str
    client: str
    subject: str
    grant: str
    scopes: frozenset[str]
    jkt: str | None
    created: float
    expires: float
    current: str | None
    revoked: float | None
    mark: str | None = field(default=None, repr=False)


class Families:
    """Opens, refreshes and ends families; a client has at most ``most`` of each grant."""

    def __init__(self, store: Store, now: Callable[[], float], most: int) -> None:
        store.register(_metadata)
        self._store, self._now, self._most = store, now, most

    def open(self, family: Family) -> None:
        """Put a family on record; raises Ended where its id was ended before it began."""
        try:
            with self._store.begin() as connection:
                self._sweep(connection, family)
                connection.execute(_families.insert().values(_row(family)))
        except sa.exc.IntegrityError:
            raise FamilyEnded("replayed") from None

    def require_active(self, family: str, jti: str) -> Family:
        """Return the family a token names; raises Ended for one that does not stand."""
        barred = sa.select(_refused.c.jti).where(_refused.c.jti == jti)
        with self._store.read() as connection:
            found = self._read(connection, _families.c.id == family)
            if connection.execute(barred).first() is not None:
                raise FamilyEnded("token_revoked")
        return self._require_active(found)

    def for_refresh_digest(self, digest: str) -> Family:
        """Return the family whose refresh token this is; raises Ended.

        One that was spent ends its family: the reason is then ``replayed``.
        """
        with self._store.begin() as connection:
            found = self._read(connection, _families.c.current == digest)
            reused = found is None and self._end_spent(connection, digest)
        if reused:
            raise FamilyEnded("replayed")
        return self._require_active(found)

    def for_refresh_token(self, text: str) -> Family:
        """Return the family whose refresh token a text is; raises Ended, as `holder`.

        One that its family gave and that does not count any more was spent.
        """
        try:
            return self.for_refresh_digest(digest_of(text))
        except FamilyEnded as ended:
            if ended.reason == "family_unknown" and self._end_marked(text):
                raise FamilyEnded("replayed") from None
            raise

    def find_by_refresh_digest(self, digest: str) -> Family:
        """Return the family whose refresh token this is, and change nothing; raises Ended."""
        with self._store.read() as connection:
            return self._require_active(self._read(connection, _families.c.current == digest))

    def rotate(self, family: Family, digest: str, successor: str, *, mark: str) -> Family:
        """Put another refresh token in the place of one, once; raises Ended.

        ``mark`` is what the successor is marked with. Of two at the same moment the second is
        a replay, and ends the family.
        """
        kept = {"digest": digest, "family": family.id, "expires": family.expires}
        with self._store.begin() as connection:
            rotated = connection.execute(
                _families.update()
                .where(_families.c.current == digest, _families.c.revoked.is_(None))
                .values(current=successor, mark=mark)
            )
            if not rotated.rowcount:
                self._end(connection, _families.c.id == family.id)
            elif family.mark is None:
                connection.execute(_spent.insert().values(kept))
        if not rotated.rowcount:
            raise FamilyEnded("replayed")
        return replace(family, current=successor, mark=mark)

    def end(self, family: str) -> bool:
        """End one family, begun or not; tell whether it stood."""
        which = _families.c.id == family
        try:
            with self._store.begin() as connection:
                # Its code was shown twice before it was traded: nothing may begin under this id.
                connection.execute(_families.insert().values(self._tombstone(family)))
        except sa.exc.IntegrityError:  # it has begun
            with self._store.begin() as connection:
                return bool(self._end(connection, which))
        return False

    def end_all(
        self,
        *,
        oauth_client: str | None = None,
        subject: str | None = None,
        grant: str | None = None,
    ) -> int:
        """End all families of an OAuth client or of a person; return how many stood.

        ``grant`` ends those of one grant alone.
        """
        which = (
            _families.c.subject == subject
            if oauth_client is None
            else _families.c.oauth_client == oauth_client
        )
        if grant is not None:
            which = sa.and_(which, _families.c.grant == grant)
        with self._store.begin() as connection:
            return self._end(connection, which)

    def end_token(self, jti: str, expires: float, family: str) -> None:
        """Refuse one access token until it is over anyway.

        Its ``family`` ends instead where so many of its tokens are refused already.
        """
        with self._store.begin() as connection:
            connection.execute(_refused.delete().where(_refused.c.expires <= self._now()))
            number = sa.select(sa.func.count()).where(_refused.c.family == family)
            if connection.execute(number).scalar_one() >= MOST_REFUSED:
                self._end(connection, _families.c.id == family)
                return
            row = {"jti": jti, "expires": expires, "family": family}
            connection.execute(_refused.delete().where(_refused.c.jti == jti))
            connection.execute(_refused.insert().values(row))
            self._store.touch(connection, TOPIC)

    def list(self, oauth_clients: Collection[str]) -> list[Family]:
        """Return what stands of these OAuth clients, oldest first."""
        query = (
            _families.select()
            .where(_families.c.oauth_client.in_(oauth_clients))
            .where(_families.c.revoked.is_(None), _families.c.expires > self._now())
            .order_by(_families.c.created, _families.c.id)
        )
        with self._store.read() as connection:
            return [_family(row) for row in connection.execute(query)]

    def _require_active(self, found: Family | None) -> Family:
        if found is None:
            raise FamilyEnded("family_unknown")
        if found.revoked is not None:
            raise FamilyEnded("family_revoked")
        if found.expires <= self._now():
            raise FamilyEnded("family_expired")
        return found

    def _end_spent(self, connection: sa.Connection, digest: str) -> bool:
        query = sa.select(_spent.c.family).where(_spent.c.digest == digest)
        family = connection.execute(query).scalar()
        if family is None:
            return False
        self._end(connection, _families.c.id == family)
        return True

    def _end_marked(self, text: str) -> bool:
        family = family_of(text)
        if family is None:
            return False
        with self._store.begin() as connection:
            found = self._read(connection, _families.c.id == family)
            if found is None or found.mark is None or not is_marked(text, found.mark):
                return False
            self._end(connection, _families.c.id == family)
        return True

    def _end(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
        ended = connection.execute(
            _families.update()
            .where(which, _families.c.revoked.is_(None))
            .values(revoked=self._now())
        )
        if ended.rowcount:
            self._store.touch(connection, TOPIC)
        return ended.rowcount

    def _read(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> Family | None:
        row = connection.execute(_families.select().where(which)).first()
        return None if row is None else _family(row)

    def _tombstone(self, family: str) -> dict[str, object]:
        now = self._now()
        empty = Family(family, "", "", "", "", frozenset(), None, now, now + 86400.0, None, now)
        return _row(empty)

    def _sweep(self, connection: sa.Connection, newcomer: Family) -> None:
        """Forget what is over, and the oldest of a client beyond the most it may have."""
        now = self._now()
        for table in (_families, _spent, _refused):
            connection.execute(table.delete().where(table.c.expires <= now))
        newest = (
            sa.select(_families.c.id)
            .where(_families.c.oauth_client == newcomer.oauth_client)
            .where(_families.c.grant == newcomer.grant)
            .order_by(_families.c.created.desc(), _families.c.id)
            .offset(self._most - 1)
        )
        surplus = connection.execute(newest).scalars().all()
        if surplus:
            connection.execute(_families.delete().where(_families.c.id.in_(surplus)))
            self._store.touch(connection, TOPIC)


def _row(family: Family) -> dict[str, object]:
    words = {name: getattr(family, name) for name in Family.__slots__}
    return words | {"scopes": sorted(family.scopes)}


def _family(row: sa.Row[tuple[object, ...]]) -> Family:
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name for it
    return Family(**{**found, "scopes": frozenset(found["scopes"])})
