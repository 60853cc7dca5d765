"""What an access token must say before anyone is named by it (RFC 9068, RFC 9700).

The registered header and claims are checked as `jwt_claims` does; here is what tells an access
token from the other tokens an issuer signs, and the key that it may be bound to. Knows neither
keys nor Flask; nothing read here is true until a signature says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secureml.kit.jwt_claims import (
    InvalidToken,
    TokenRequirements,
    UnverifiedToken,
    check_registered_claims,
    check_registered_header,
    parse_token,
)

MAX_TOKEN = 8192  # characters; what is longer is not parsed
# OpenID Connect Core and the logout profiles: claims of tokens that are not access tokens.
_NOT_ACCESS = ("nonce", "at_hash", "c_hash", "s_hash", "events")


def parse(text: str) -> UnverifiedToken | None:
    """Return the parts of a signed token, or None for any other text; raises nothing."""
    try:
        return parse_token(text, max_length=MAX_TOKEN)
    except InvalidToken:
        return None


def check_header(token: UnverifiedToken, requirements: TokenRequirements) -> None:
    """Raise InvalidToken unless the header is that of an access token, allowed algorithm."""
    check_registered_header(token.header, requirements)


def check_claims(token: UnverifiedToken, requirements: TokenRequirements, now: float) -> None:
    """Raise InvalidToken unless the claims are whole, for us and for ``now`` (epoch seconds)."""
    check_registered_claims(token.claims, requirements, now)
    if any(name in token.claims for name in _NOT_ACCESS):
        raise InvalidToken("not_an_access_token")
    # Keycloak says in `typ`, Cognito in `token_use`, what the header leaves open.
    kind = token.claims.get("typ", "Bearer")
    if kind not in ("Bearer", "DPoP") or token.claims.get("token_use", "access") != "access":
        raise InvalidToken("not_an_access_token")


def bound_to(claims: Mapping[str, Any]) -> str | None:
    """Return the thumbprint of the key the token is bound to (RFC 9449, 6), None for a bearer's.

    A binding of any other kind cannot be checked here, and unchecked it is none.
    """
    if "cnf" not in claims:
        return None
    match claims["cnf"]:
        case {"jkt": str(thumbprint), **others} if thumbprint and not others:
            return thumbprint
    raise InvalidToken("binding")
