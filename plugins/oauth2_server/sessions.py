"""Signed-in browsers, and proof that a form was ours.

A session is a random text in a cookie and its digest in the store, for minutes. Signing in
always gives a new one, so that nobody can plant his own. The proof of a form is made of the
cookie and of what the form is about: another site can neither read nor set the cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .opaque_tokens import SESSION, digest, new_token
from .store import Condition, always

MAX_FAILURES = 10  # wrong device codes typed in one session before it ends
MOST = 50  # browsers in which one person is signed in

_metadata = sa.MetaData()
_table = sa.Table(
    "oauth2_sessions",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(63), nullable=False, index=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False, index=True),
    sa.Column("failures", sa.Integer, nullable=False),
)


class Sessions:
    """Begins, finds and ends sessions of ``lifetime`` seconds."""

    def __init__(self, store: Store, now: Callable[[], float], lifetime: float) -> None:
        store.register(_metadata)
        self._store, self._now, self._lifetime = store, now, lifetime

    def begin(self, subject: str, before: str = "", still: Condition = always) -> str | None:
        """Return the cookie of a person who just signed in; the one before is worth nothing.

        None where ``still`` does not hold when it is written.
        """
        text, now = new_token(SESSION), self._now()
        row = {
            "digest": digest(text),
            "subject": subject,
            "created": now,
            "expires": now + self._lifetime,
            "failures": 0,
        }
        with self._store.begin() as connection:
            if not still(connection):
                return None
            over = (_table.c.expires <= now) | (_table.c.digest == digest(before))
            connection.execute(_table.delete().where(over))
            theirs = sa.select(_table.c.digest).where(_table.c.subject == subject)
            newest = theirs.order_by(_table.c.created.desc(), _table.c.digest)
            old = connection.execute(newest.offset(MOST - 1)).scalars().all()
            if old:
                connection.execute(_table.delete().where(_table.c.digest.in_(old)))
            connection.execute(_table.insert().values(row))
        return text

    def subject(self, text: str) -> str | None:
        """Return who is signed in with this cookie, or None."""
        if not text:
            return None
        query = sa.select(_table.c.subject).where(*self._is_active(text))
        with self._store.read() as connection:
            return connection.execute(query).scalar()

    def record_failure(self, text: str) -> None:
        """Count a wrong guess; too many end the session."""
        with self._store.begin() as connection:
            connection.execute(
                _table.update()
                .where(_table.c.digest == digest(text))
                .values(failures=_table.c.failures + 1)
            )

    def end(self, text: str) -> None:
        """Sign one browser out."""
        self._delete(_table.c.digest == digest(text))

    def end_all(self, subject: str) -> None:
        """Sign a person out everywhere."""
        self._delete(_table.c.subject == subject)

    def _delete(self, which: sa.ColumnElement[bool]) -> None:
        with self._store.begin() as connection:
            connection.execute(_table.delete().where(which))

    def _is_active(self, text: str) -> list[sa.ColumnElement[bool]]:
        return [
            _table.c.digest == digest(text),
            _table.c.expires > self._now(),
            _table.c.failures < MAX_FAILURES,
        ]


def csrf_token(cookie: str, purpose: str) -> str:
    """Return what a form about ``purpose`` must carry back beside this cookie."""
    return hmac.new(cookie.encode(), purpose.encode("utf-8", "replace"), "sha256").hexdigest()


def verify_csrf(given: str, cookie: str, purpose: str) -> bool:
    """Tell whether a form carries what it was given; without a cookie none does."""
    expected = csrf_token(cookie, purpose).encode()
    return bool(cookie) and hmac.compare_digest(given.encode("utf-8", "replace"), expected)
