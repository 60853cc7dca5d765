"""Introspection (RFC 7662) and revocation (RFC 7009), over the library's endpoints.

A caller proves itself first. What is not its own to ask about, and what does not hold, reads
alike: ``{"active": false}`` and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from ..claims import Unfit, read
from .credentials import BASIC, NONE, POST
from .digests import REFRESH, digest
from .families import Ended, Families, Family
from .party import Party
from .request import Asked
from .resource import Believed, Resource

# The right to ask about tokens of others: what a resource server of one's own needs.
INTROSPECT = "oauth2:introspect"


@dataclass(frozen=True, slots=True)
class Held:
    """A token that holds: an access token that is believed, or a refresh token by its family."""

    family: Family
    access: Believed | None

    def check_client(self, client: Party) -> bool:
        """Tell whether it was issued to this OAuth client."""
        return self.family.oauth_client == client.record.id

    def is_expired(self) -> bool:
        """Tell that it holds: it would not be here otherwise."""
        return False

    is_revoked = is_expired


class Finder:
    """Finds what a text stands for, whatever the caller says it is."""

    def __init__(self, resource: Resource, families: Families) -> None:
        self._resource, self._families = resource, families

    def find(self, text: str) -> Held | None:
        """Return a token that holds, or None; one that was spent ends nothing here."""
        try:
            if text.startswith(REFRESH):
                return Held(self._families.look(digest(text)), None)
            token = read(text)
            if token is None:
                return None
            believed = self._resource.believe(token)
        except (Unfit, Ended):
            return None
        return Held(believed.family, believed)


class Introspection(IntrospectionEndpoint):
    """Tells a caller with a secret what a token is worth now."""

    CLIENT_AUTH_METHODS = [BASIC, POST]

    def __init__(self, server: Any, finder: Finder, issuer: str, audience: str) -> None:
        super().__init__(server)
        self._finder, self._issuer, self._audience = finder, issuer, audience

    def authenticate_endpoint_client(self, request: Asked) -> Party:
        """Return who asks; a public client proves nothing and is told nothing."""
        party: Party = self.server.records.credentials.authenticate(
            request, self.CLIENT_AUTH_METHODS
        )
        return party

    def check_params(self, request: Asked, client: Party) -> None:
        """Demand a token; a hint is not needed, and a wrong one not punished."""
        _demand_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Held | None:
        """Return a token that holds, or None."""
        return self._finder.find(token_string)

    def check_permission(self, token: Held, client: Party, request: Asked) -> bool:
        """Tell whether this is the caller's to know."""
        return token.check_client(client) or INTROSPECT in client.rights

    def introspect_token(self, token: Held) -> dict[str, Any]:
        """Return what is known (RFC 7662, 2.2)."""
        family, access = token.family, token.access
        body = {
            "active": True,
            "client_id": family.oauth_client,
            "sub": family.subject or family.oauth_client,
            "iss": self._issuer,
            "aud": self._audience,
            "iat": int(family.created),
            "exp": int(family.expires),
            "scope": " ".join(sorted(family.scopes)),
        }
        if family.subject:
            body["username"] = family.subject
        if access is None:
            return body
        bound = {} if access.jkt is None else {"cnf": {"jkt": access.jkt}}
        return {
            **body,
            **bound,
            "scope": " ".join(sorted(access.scopes)),
            "iat": int(access.issued),
            "exp": int(access.ends),
            "jti": access.jti,
            "token_type": "DPoP" if access.jkt is not None else "Bearer",
        }


class Revocation(RevocationEndpoint):
    """Takes a token back: an access token alone, a refresh token with all its family."""

    CLIENT_AUTH_METHODS = [BASIC, POST, NONE]

    def __init__(self, server: Any, finder: Finder) -> None:
        super().__init__(server)
        self._finder = finder

    def authenticate_endpoint_client(self, request: Asked) -> Party:
        """Return who asks; a public client by its id, since the token must be its own."""
        party: Party = self.server.records.credentials.authenticate(
            request, self.CLIENT_AUTH_METHODS
        )
        return party

    def check_params(self, request: Asked, client: Party) -> None:
        """Demand a token."""
        _demand_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Held | None:
        """Return a token that holds; any other is as good as revoked (RFC 7009, 2.2)."""
        return self._finder.find(token_string)

    def revoke_token(self, token: Held, request: Asked) -> None:
        """Take it back, from the next request on in every worker."""
        families: Families = self.server.families
        if token.access is None:
            families.end(token.family.id)
        else:
            families.end_token(token.access.jti, token.access.ends, token.family.id)
        request.add_event(
            "authn_token_revoked",
            token.family.client,
            family=token.family.id,
            jti=None if token.access is None else token.access.jti,
            oauth_client=token.family.oauth_client,
        )


def _demand_token(request: Asked) -> None:
    if "token" not in request.form:
        raise InvalidRequestError("Missing 'token' in request.")
