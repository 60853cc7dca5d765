"""One outside issuer: its rules, its keys and what its tokens are worth here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from secureml.kit.access_token import bound_to, check_claims, check_header
from secureml.kit.jwks import Keys
from secureml.kit.jwks_cache import JwksCache
from secureml.kit.jwt_claims import InvalidToken, TokenRequirements, UnverifiedToken

from .claim_mapping import ClaimMapping


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider whose tokens we accept."""

    name: str
    rules: TokenRequirements
    mapping: ClaimMapping
    jwks: JwksCache


class VerifiedClaims(NamedTuple):
    """What a token says, now believed; ``keys`` are those it was proven with.

    ``ends`` is in epoch seconds; ``bound`` the thumbprint of the key its sender must hold.
    """

    claims: Mapping[str, Any]
    keys: Keys
    ends: float
    jkt: str | None


def verify(token: UnverifiedToken, issuer: Issuer, now: float) -> VerifiedClaims:
    """Return what the token says, or raise Unfit; KeysUnavailable when nobody can tell."""
    check_header(token, issuer.rules)
    keys, key = issuer.jwks.key_for(token, lambda: check_claims(token, issuer.rules, now))
    if key is None:
        raise InvalidToken("key_unknown")
    if not key.verifies(token.text):
        raise InvalidToken("signature")
    check_claims(token, issuer.rules, now)
    return VerifiedClaims(token.claims, keys, float(token.claims["exp"]), bound_to(token.claims))
