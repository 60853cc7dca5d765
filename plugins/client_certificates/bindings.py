"""The list of bindings: which certificate, or which name in one, speaks for which client.

A binding is to one exact certificate by its thumbprint, or to a dNSName in any certificate that
one authority signed. What can be found is held in memory until the store says that a binding
changed, so one that ended is gone in every worker at its next request.
Knows neither Flask nor the pipeline.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Collection
from dataclasses import replace

import sqlalchemy as sa

from secureml.kit.client_certificate import Leaf, authority_state, is_issued_by
from secureml.kit.protocols import Store

from .binding import (
    LEAF,
    NAME,
    Binding,
    binding_of,
    columns_of,
    metadata,
    rows_of,
    table,
)

TOPIC = "client_certificates"
_GONE = ("unknown", "ended")


class BindingFault(Exception):
    """A binding cannot be made, found or ended; one line says why."""


class Bindings:
    """Makes, finds and ends bindings."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        random_id: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        store.register(metadata)
        self._store, self._now, self._random_id = store, now, random_id

    def find(self, leaf: Leaf, *, verified: bool) -> tuple[Binding | None, str]:
        """Return who a proven certificate speaks for, and a word: ``active`` or why nobody.

        The exact certificate comes first. A name counts only where Nginx ``verified`` the chain
        and the named authority's key signed this very certificate. Two clients by name is none.
        """
        with self._store.read() as connection:
            exact = rows_of(connection, LEAF, [leaf.thumbprint])
            named = rows_of(connection, NAME, leaf.names) if leaf.names else []
        if exact:
            # One that was ended stays out, also where its name would let it in.
            good = [each for each in exact if each.ended is None]
            return (good[0], "active") if good else (None, "ended")
        fitting = [each for each in named if _signed(leaf, each)]
        states = {each.state(self._now()) for each in fitting}
        if "active" not in states:
            return None, "authority_expired" if "expired" in states else _GONE[bool(states)]
        good = [each for each in fitting if each.state(self._now()) == "active"]
        if not verified:
            return None, "unverified"
        if len({each.client for each in good}) > 1:
            return None, "ambiguous"
        return good[0], "active"

    def bind_leaf(
        self, client: str, leaf: Leaf, *, label: str = "", scopes: Collection[str] | None = None
    ) -> Binding:
        """Bind one exact certificate; raises BindingFault where it would be no use."""
        state = leaf.state(self._now())
        if state == "expired":
            raise BindingFault("the certificate has expired")
        if not leaf.for_clients:
            raise BindingFault("the certificate is not for clients (its extended key usage)")
        return self._insert(client, LEAF, leaf.thumbprint, None, label, scopes, leaf.ends)

    def bind_name(
        self,
        client: str,
        name: str,
        authority: bytes,
        *,
        label: str = "",
        scopes: Collection[str] | None = None,
    ) -> Binding:
        """Bind a dNSName in certificates that ``authority`` (DER) signed; raises BindingFault."""
        fault, ends = authority_state(authority, self._now())
        if fault:
            raise BindingFault(f"the authority {fault}")
        text = base64.b64encode(authority).decode("ascii")
        return self._insert(client, NAME, name, text, label, scopes, ends)

    def list(self, client: str | None = None) -> list[Binding]:
        """Return the bindings, oldest first, of one client or of all."""
        query = table.select().order_by(table.c.created, table.c.id)
        if client is not None:
            query = query.where(table.c.client == client)
        with self._store.read() as connection:
            return [binding_of(row) for row in connection.execute(query)]

    def statistics(self) -> tuple[int, float | None]:
        """Return how many bindings are good now, and when the first certificate of them ends."""
        good = sa.and_(
            table.c.ended.is_(None),
            sa.or_(table.c.expires.is_(None), table.c.expires >= self._now()),
        )
        columns = sa.func.count(), sa.func.min(table.c.expires)
        with self._store.read() as connection:
            number, expires = connection.execute(sa.select(*columns).where(good)).one()
        return number, expires

    def end(self, binding_id: str) -> Binding:
        """End a binding from the next request on; one that has ended stays as it was."""
        with self._store.begin() as connection:
            # Locked until the end of the transaction, where the database locks rows.
            query = table.select().where(table.c.id == binding_id).with_for_update()
            row = connection.execute(query).first()
            if row is None:
                raise BindingFault(
                    f"there is no binding {binding_id!r}; `secureml certificates list` shows them"
                )
            found = binding_of(row)
            if found.ended is None:
                found = replace(found, ended=self._now())
                change = table.update().where(table.c.id == binding_id)
                connection.execute(change.values(ended=found.ended))
                self._store.touch(connection, TOPIC)
        return found

    def _insert(
        self,
        client: str,
        kind: str,
        subject: str,
        authority: str | None,
        label: str,
        scopes: Collection[str] | None,
        expires: float | None,
    ) -> Binding:
        held = None if scopes is None else frozenset(scopes)
        made = Binding(
            self._random_id(), client, kind, subject, authority, label, held, self._now(),
            expires, None,
        )  # fmt: skip
        with self._store.begin() as connection:
            # First, because it locks: of two commands at once the second sees what the first did.
            self._store.touch(connection, TOPIC)
            for other in rows_of(connection, kind, [subject]):
                # Two clients of one certificate: whoever asked, nobody could say.
                if other.ended is None and other.authority == authority:
                    raise BindingFault(f"it is bound to {other.client} already, by {other.id}")
            connection.execute(table.insert().values(**columns_of(made)))
        return made


def _signed(leaf: Leaf, binding: Binding) -> bool:
    return is_issued_by(leaf.der, base64.b64decode(binding.authority or ""))
