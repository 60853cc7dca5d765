"""One outside issuer: its rules, its keys and what its tokens are worth here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from secureml.kit.access_token import bound_to, check_claims, check_header
from secureml.kit.jwks import Keys
from secureml.kit.jwks_cache import JwksCache, KeysUnavailable
from secureml.kit.jwt_claims import InvalidToken, TokenRequirements, UnverifiedToken
from secureml.kit.public_key import TrustedKey

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
    keys, key = _key(token, issuer, now)
    if not key.verifies(token.text):
        raise InvalidToken("signature")
    check_claims(token, issuer.rules, now)
    return VerifiedClaims(token.claims, keys, float(token.claims["exp"]), bound_to(token.claims))


def _key(token: UnverifiedToken, issuer: Issuer, now: float) -> tuple[Keys, TrustedKey]:
    try:
        keys = issuer.jwks.current()
        key = keys.pick(token.kid, token.algorithm)
    except KeysUnavailable:
        key = None
    if key is None:
        # A token that could not be good whoever signed it is not worth a fetch.
        check_claims(token, issuer.rules, now)
        keys = issuer.jwks.refreshed()
        key = keys.pick(token.kid, token.algorithm)
    if key is None:
        raise InvalidToken("key_unknown")
    return keys, key
