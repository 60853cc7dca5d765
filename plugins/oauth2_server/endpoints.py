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

from secureml.kit.access_token import parse
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.token_families import FamilyEnded

from .client import ActiveClient
from .credentials import BASIC, NONE, POST
from .families import Families, Family
from .opaque_tokens import REFRESH, digest
from .request import OAuth2Request
from .resource import Resource, ValidToken

# The right to ask about tokens of others: what a resource server of one's own needs.
INTROSPECT = "oauth2:introspect"


@dataclass(frozen=True, slots=True)
class ActiveToken:
    """A token that holds: an access token that is believed, or a refresh token by its family."""

    family: Family
    access: ValidToken | None

    def check_client(self, client: ActiveClient) -> bool:
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

    def find(self, text: str) -> ActiveToken | None:
        """Return a token that holds, or None; one that was spent ends nothing here."""
        try:
            if text.startswith(REFRESH):
                return ActiveToken(self._families.for_refresh_digest(digest(text)), None)
            token = parse(text)
            if token is None:
                return None
            valid = self._resource.validate(token)
        except (InvalidToken, FamilyEnded):
            return None
        return ActiveToken(valid.family, valid)


class Introspection(IntrospectionEndpoint):
    """Tells a caller with a secret what a token is worth now."""

    CLIENT_AUTH_METHODS = [BASIC, POST]

    def __init__(self, server: Any, finder: Finder, issuer: str, audience: str) -> None:
        super().__init__(server)
        self._finder, self._issuer, self._audience = finder, issuer, audience

    def authenticate_endpoint_client(self, request: OAuth2Request) -> ActiveClient:
        """Return who asks; a public client proves nothing and is told nothing."""
        client: ActiveClient = self.server.records.credentials.authenticate(
            request, self.CLIENT_AUTH_METHODS
        )
        return client

    def check_params(self, request: OAuth2Request, client: ActiveClient) -> None:
        """Demand a token; a hint is not needed, and a wrong one not punished."""
        _demand_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> ActiveToken | None:
        """Return a token that holds, or None."""
        return self._finder.find(token_string)

    def check_permission(
        self, token: ActiveToken, client: ActiveClient, request: OAuth2Request
    ) -> bool:
        """Tell whether this is the caller's to know."""
        return token.check_client(client) or INTROSPECT in client.rights

    def introspect_token(self, token: ActiveToken) -> dict[str, Any]:
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

    def authenticate_endpoint_client(self, request: OAuth2Request) -> ActiveClient:
        """Return who asks; a public client by its id, since the token must be its own."""
        client: ActiveClient = self.server.records.credentials.authenticate(
            request, self.CLIENT_AUTH_METHODS
        )
        return client

    def check_params(self, request: OAuth2Request, client: ActiveClient) -> None:
        """Demand a token."""
        _demand_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> ActiveToken | None:
        """Return a token that holds; any other is as good as revoked (RFC 7009, 2.2)."""
        return self._finder.find(token_string)

    def revoke_token(self, token: ActiveToken, request: OAuth2Request) -> None:
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


def _demand_token(request: OAuth2Request) -> None:
    if "token" not in request.form:
        raise InvalidRequestError("Missing 'token' in request.")
