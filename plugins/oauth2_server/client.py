"""Who asks at our endpoints, as the library wants it: an OAuth client and its local client."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .clients import CODE, OAuthClient, OAuthClients


class Owner(Protocol):
    """A named owner of the application."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def scopes(self) -> frozenset[str]:
        """What it holds now."""

    @property
    def models(self) -> frozenset[str]:
        """The models it may use."""

    @property
    def tier(self) -> str:
        """Its tier."""

    @property
    def enabled(self) -> bool:
        """Whether it is let in."""


@dataclass(frozen=True, slots=True)
class ActiveClient:
    """One OAuth client with the rights it has at this moment."""

    record: OAuthClient
    owner: Any  # a client of the core

    @property
    def rights(self) -> frozenset[str]:
        """What its tokens may do at most."""
        return self.record.narrowed(self.owner.scopes)

    def requested_scopes(self, scope: str | None) -> frozenset[str] | None:
        """Return the rights a scope parameter asks for; None where one is not its own.

        Without the parameter it is all of them (RFC 6749, 3.3).
        """
        requested = frozenset(scope.split()) if scope else self.rights
        return requested if requested and requested <= self.rights else None

    # -- what the library asks ---------------------------------------------------------------

    def get_client_id(self) -> str:
        """Return the id."""
        return self.record.id

    def get_default_redirect_uri(self) -> str:
        """Return none: the address is always said (RFC 9700 wants it compared, not assumed)."""
        return ""

    def check_redirect_uri(self, uri: str) -> bool:
        """Tell whether a browser may be sent there; every registered address is compared."""
        given = uri.encode("utf-8", "replace")
        matches = [hmac.compare_digest(given, known.encode()) for known in self.record.redirects]
        return any(matches)

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether it may ask for a code."""
        return response_type == "code" and self.check_grant_type(CODE)

    def check_grant_type(self, grant: str) -> bool:
        """Tell whether it may use a grant."""
        return grant in self.record.grants

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the rights asked for, None where one is beyond it: never fewer in silence."""
        scopes = self.requested_scopes(scope)
        return None if scopes is None else " ".join(sorted(scopes))


class ActiveClients:
    """Finds OAuth clients that stand, whose local client is let in."""

    def __init__(self, clients: OAuthClients, owner: Callable[[str], Any]) -> None:
        self._clients, self._owner = clients, owner

    def get(self, name: str | None) -> ActiveClient | None:
        """Return who has this id, or None."""
        record = self._clients.get(name) if name else None
        owner = self._owner(record.client) if record is not None else None
        if record is None or owner is None or not owner.enabled:
            return None
        return ActiveClient(record, owner)
