"""One binding, and how it lies in the store."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from secureml.kit.client_certificate import thumbprint

LEAF, NAME = "certificate", "dns"

metadata = sa.MetaData()
table = sa.Table(
    "client_certificates_bindings",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("client", sa.String(63), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(253), nullable=False, index=True),
    # The one authority whose signature counts, as DER in base64; of a name only.
    sa.Column("authority", sa.Text, nullable=True),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=True),
    sa.Column("ended", sa.Float, nullable=True),
)


@dataclass(frozen=True, slots=True)
class Binding:
    """What speaks for a client; times are epoch seconds, ``scopes`` None means all its client's.

    ``kind`` is ``certificate`` (``subject`` is a thumbprint) or ``dns`` (``subject`` is the
    name, ``authority`` the DER of who must have signed, in base64). ``expires`` is when the
    certificate ends, or the authority's.
    """

    id: str
    client: str
    kind: str
    subject: str
    authority: str | None
    label: str
    scopes: frozenset[str] | None
    created: float
    expires: float | None
    ended: float | None

    def state(self, now: float) -> str:
        """Return ``active``, ``expired`` or ``revoked``, the words of every credential."""
        if self.ended is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires < now else "active"

    def signer(self) -> str:
        """Return the thumbprint of the authority, "" where none is named."""
        return "" if self.authority is None else thumbprint(base64.b64decode(self.authority))


def rows_of(connection: sa.Connection, kind: str, subjects: Collection[str]) -> list[Binding]:
    """Return every binding of these subjects, ended ones too, oldest first."""
    query = (
        table.select()
        .where(table.c.kind == kind, table.c.subject.in_(sorted(subjects)))
        .order_by(table.c.created, table.c.id)
    )
    return [binding_of(row) for row in connection.execute(query)]


def columns_of(made: Binding) -> dict[str, object]:
    """Return a binding as a row."""
    found: dict[str, object] = {column.name: getattr(made, column.name) for column in table.c}
    found["scopes"] = None if made.scopes is None else sorted(made.scopes)
    return found


def binding_of(row: sa.Row[tuple[object, ...]]) -> Binding:
    """Return a row as a binding."""
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name for it
    scopes = found.pop("scopes")
    return Binding(scopes=None if scopes is None else frozenset(scopes), **found)
