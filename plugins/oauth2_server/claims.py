"""What an outside token must say before anyone is named by it.

Strict where the standards leave room: JSON without duplicate names or NaN, every claim there
and of its type, and no header member that would let a token bring its own key. Knows neither
keys nor Flask; nothing read here is true until a signature says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.util import urlsafe_b64decode

from secureml.kit.strict_json import loads_object

MAX_TOKEN = 8192  # characters; what is longer is not parsed
MAX_TEXT = 255  # OpenID Connect Core, section 2: the longest `sub`
_SEGMENTS = 3
_LATEST = 2**53  # beyond it, a number of seconds is no exact number any more
# RFC 8725, 3.10: whoever may name the key may sign with his own. `crit` and `b64` change what
# the signature covers, `zip` inflates; an access token has no honest use for any of them.
_REFUSED = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"})
# OpenID Connect Core and the logout profiles: marks of tokens that are not access tokens.
_NOT_ACCESS = ("nonce", "at_hash", "c_hash", "s_hash", "events")


class InvalidToken(Exception):
    """A token does not hold; ``reason`` is for the log alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart and not yet believed."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Who it says issued it, or ""."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""

    @property
    def algorithm(self) -> str:
        """How it says it is signed; Ed25519 (RFC 9864) and EdDSA are one algorithm here."""
        return canonical(self.header.get("alg"))

    @property
    def kid(self) -> str | None:
        """Which key it says signed it."""
        return self.header.get("kid")


@dataclass(frozen=True, slots=True)
class Rules:
    """What one issuer's tokens must say; ``types`` in small letters.

    ``leeway`` is how many seconds past its end a token still counts, ``early`` how many ahead
    of now its beginning may lie.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    types: frozenset[str]
    leeway: float
    early: float


def canonical(algorithm: object) -> str:
    """Return the one name of an algorithm, or "" for what is none."""
    if not isinstance(algorithm, str):
        return ""
    return "EdDSA" if algorithm == "Ed25519" else algorithm


def read(text: str) -> Token | None:
    """Return the parts of a signed token, or None for any other text; raises nothing."""
    parts = text.split(".")
    if len(parts) != _SEGMENTS:
        return None
    try:
        header, claims = (
            loads_object(urlsafe_b64decode(part.encode("ascii"))) for part in parts[:2]
        )
    except ValueError:
        return None
    return Token(text, header, claims)


def check_header(token: Token, rules: Rules) -> None:
    """Raise Unfit unless the header is that of an access token under an allowed algorithm."""
    if not _REFUSED.isdisjoint(token.header):
        raise InvalidToken("header_brings_key")
    if token.algorithm not in rules.algorithms:
        raise InvalidToken("algorithm")
    typ = token.header.get("typ", "")
    if not isinstance(typ, str) or typ.lower() not in rules.types:
        raise InvalidToken("type")
    kid = token.header.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_TEXT):
        raise InvalidToken("kid")


def check_claims(token: Token, rules: Rules, now: float) -> None:
    """Raise Unfit unless the claims are whole, ours and of this moment (epoch seconds)."""
    claims = token.claims
    if token.issuer != rules.issuer:
        raise InvalidToken("issuer")
    if rules.audiences.isdisjoint(_audiences(claims)):
        raise InvalidToken("audience")
    _check_times(claims, now, rules)
    text(claims, "sub")
    if any(name in claims for name in _NOT_ACCESS):
        raise InvalidToken("not_an_access_token")
    _check_provider_words(claims)


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


def text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that must be a printable text of sensible length."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise InvalidToken(f"claim_{name}")
    return value


def _check_times(claims: Mapping[str, Any], now: float, rules: Rules) -> None:
    if moment(claims, "exp") + rules.leeway <= now:
        raise InvalidToken("expired")
    if moment(claims, "iat") - rules.early > now:
        raise InvalidToken("issued_in_future")
    if "nbf" in claims and moment(claims, "nbf") - rules.early > now:
        raise InvalidToken("not_yet")


def _check_provider_words(claims: Mapping[str, Any]) -> None:
    # Keycloak says in `typ`, Cognito in `token_use`, what the header leaves open.
    kind = claims.get("typ", "Bearer")
    if kind not in ("Bearer", "DPoP") or claims.get("token_use", "access") != "access":
        raise InvalidToken("not_an_access_token")


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    if isinstance(audience, str):
        return [audience]
    if isinstance(audience, list) and all(isinstance(item, str) for item in audience):
        return audience
    raise InvalidToken("claim_aud")


def moment(claims: Mapping[str, Any], name: str) -> float:
    """Return a claim that must be a number of seconds since the epoch."""
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidToken(f"claim_{name}")
    if not 0 <= value <= _LATEST:
        raise InvalidToken(f"claim_{name}")
    return float(value)
