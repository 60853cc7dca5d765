"""Authorization codes: good once, for a minute, and for nobody but who asked (RFC 6749, 4.1).

A code is used up by whoever shows it first, right or wrong: a code that others have seen must
not lie around. Shown again, it ends what came of it. Only digests are kept,
of one person and program the newest hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .opaque_tokens import CODE, digest, new_id, new_token
from .store import Condition, always

MOST = 100  # of one person for one OAuth client, used ones too

_metadata = sa.MetaData()
_table = sa.Table(
    "oauth2_codes",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("oauth_client", sa.String(40), nullable=False),
    sa.Column("redirect", sa.String(1024), nullable=False),
    sa.Column("subject", sa.String(63), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("challenge", sa.String(43), nullable=False),
    sa.Column("jkt", sa.String(43), nullable=True),
    sa.Column("family", sa.String(32), nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("kept", sa.Float, nullable=False, index=True),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Index("ix_oauth2_codes_lent", "subject", "oauth_client", "kept"),
)


class CodeRefused(Exception):
    """A code that opens nothing; ``reason`` is for the log, ``family`` what must end with it."""

    def __init__(self, reason: str, family: str = "") -> None:
        super().__init__(reason)
        self.reason, self.family = reason, family


@dataclass(frozen=True, slots=True)
class Code:
    """What a person has agreed to; ``family`` is the id of what will come of it."""

    oauth_client: str
    redirect: str
    subject: str
    scopes: frozenset[str]
    challenge: str
    jkt: str | None
    family: str


class Codes:
    """Gives codes and takes them back once; ``keep`` is how long a replay is still known."""

    def __init__(
        self, store: Store, now: Callable[[], float], lifetime: float, keep: float
    ) -> None:
        store.register(_metadata)
        self._store, self._now = store, now
        self._lifetime, self._keep = lifetime, keep

    def issue(
        self,
        oauth_client: str,
        *,
        redirect: str,
        subject: str,
        scopes: frozenset[str],
        challenge: str,
        jkt: str | None,
        still: Condition = always,
    ) -> str | None:
        """Return a fresh code; None where ``still`` does not hold when it is written."""
        text, now = new_token(CODE), self._now()
        row = {
            "digest": digest(text),
            "oauth_client": oauth_client,
            "redirect": redirect,
            "subject": subject,
            "scopes": sorted(scopes),
            "challenge": challenge,
            "jkt": jkt,
            "family": new_id(),
            "expires": now + self._lifetime,
            "kept": now + self._keep,
            "used": False,
        }
        with self._store.begin() as connection:
            if not still(connection):
                return None
            connection.execute(_table.delete().where(_table.c.kept <= now))
            granted = sa.and_(_table.c.subject == subject, _table.c.oauth_client == oauth_client)
            surplus = sa.select(_table.c.digest).where(granted).order_by(_table.c.kept.desc())
            old = connection.execute(surplus.offset(MOST - 1)).scalars().all()
            if old:
                connection.execute(_table.delete().where(_table.c.digest.in_(old)))
            connection.execute(_table.insert().values(row))
        return text

    def end_all(self, subject: str) -> list[str]:
        """Forget the codes that a person gave; return the families that could be about to begin."""
        theirs = _table.c.subject == subject
        fresh = theirs, _table.c.expires > self._now() - self._lifetime
        with self._store.begin() as connection:
            families = connection.execute(sa.select(_table.c.family).where(*fresh)).scalars().all()
            connection.execute(_table.delete().where(theirs))
        return list(families)

    def redeem(self, text: str) -> Code:
        """Use a code up and return what it stands for; raises CodeRefused."""
        which = _table.c.digest == digest(text)
        with self._store.begin() as connection:
            first = connection.execute(
                _table.update().where(which, _table.c.used.is_(False)).values(used=True)
            ).rowcount
            row = connection.execute(_table.select().where(which)).first()
        if row is None:
            raise CodeRefused("code_unknown")
        if not first:
            raise CodeRefused("code_replayed", row.family)
        if row.expires <= self._now():
            raise CodeRefused("code_expired")
        return Code(
            row.oauth_client,
            row.redirect,
            row.subject,
            frozenset(row.scopes),
            row.challenge,
            row.jkt,
            row.family,
        )
