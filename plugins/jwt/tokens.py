"""What a token of ours looks like, and every rule it must keep beside its signature.

Libraries accept more than we issue: tokens without ``exp`` or ``jti``, headers that bring
their own key, a name given twice. What we would not have written, we do not read
(RFC 8725). Knows no library, no clock and no store.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from secureml.kit.strict_json import loads_object

MAX_BYTES = 4096
ALGORITHMS = ("ES256", "EdDSA")
ACCESS, REFRESH = "access", "refresh"
# RFC 9068 names the first; the second is ours, so that neither can pass for the other.
TYPES = {ACCESS: "at+jwt", REFRESH: "rt+jwt"}
_HEADER = frozenset({"alg", "kid", "typ"})
_CLAIMS = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "sid", "client_id"})
# Both algorithms sign with 64 bytes, which is 86 characters: nothing shorter is a signature.
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{86}", re.ASCII)
_KID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Unfit(Exception):
    """A text that is no token of ours; ``reason`` is a word for the log, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What every token must say; times are in seconds.

    ``leeway`` is how far ahead of our clock ``iat`` and ``nbf`` may be. There is none for
    ``exp``: a token that is over must not come back because a clock is slow.
    """

    issuer: str
    audience: str
    lifetimes: Mapping[str, float]
    leeway: float = 0.0


@dataclass(frozen=True, slots=True)
class Unproven:
    """Header and claims as they stand in the text; nobody has vouched for a word of it."""

    header: dict[str, Any]
    claims: dict[str, Any]


def is_jws(text: str) -> bool:
    """Tell whether a text has the three parts of a signed token at all."""
    return text.count(".") == 2


def read(text: str) -> Unproven:
    """Take a token apart without believing it; raises Unfit."""
    if len(text) > MAX_BYTES:
        raise Unfit("oversize")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise Unfit("shape")
    return Unproven(_object(match[1]), _object(match[2]))


def check_header(header: Mapping[str, Any], kind: str) -> None:
    """Refuse every header but the one we write: no ``jku``, ``jwk``, ``x5c``, ``crit``, ``zip``."""
    if header.keys() != _HEADER:
        raise Unfit("header")
    if header["alg"] not in ALGORITHMS:
        raise Unfit("alg")
    if not _matches(_KID, header["kid"]):
        raise Unfit("kid")
    if header["typ"] != TYPES[kind]:
        raise Unfit("typ")


def check_claims(claims: Mapping[str, Any], kind: str, rules: Rules, now: float) -> None:
    """Refuse a token that does not say all it must, or is not for us and for now."""
    for name in sorted(_CLAIMS - claims.keys()):
        raise Unfit(f"missing_{name}")
    if claims["iss"] != rules.issuer:
        raise Unfit("iss")
    if claims["aud"] != rules.audience:
        raise Unfit("aud")
    if claims["type"] != kind:
        raise Unfit("type")
    for name in ("jti", "sid"):
        if not _matches(_ID, claims[name]):
            raise Unfit(name)
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise Unfit("sub")
    if claims["client_id"] != claims["sub"]:
        raise Unfit("client_id")
    if not isinstance(claims.get("scope", "" if kind == REFRESH else None), str):
        raise Unfit("scope")
    _check_times(claims, kind, rules, now)


def _check_times(claims: Mapping[str, Any], kind: str, rules: Rules, now: float) -> None:
    for name in ("exp", "iat", "nbf"):
        if type(claims[name]) not in (int, float) or not isfinite(claims[name]):
            raise Unfit(name)
    # RFC 7519, 4.1.4: on or after the moment of expiry a token is expired.
    if now >= claims["exp"]:
        raise Unfit("expired")
    if claims["nbf"] > now + rules.leeway:
        raise Unfit("nbf")
    if claims["iat"] > now + rules.leeway:
        raise Unfit("iat")
    # So a lifetime that was shortened holds for tokens that are out already.
    if now >= claims["iat"] + rules.lifetimes[kind]:
        raise Unfit("too_old")


def compose(
    *, client: str, family: str, jti: str, now: float, expires: float, scopes: frozenset[str] | None
) -> dict[str, Any]:
    """Return the claims of a new token; the signer adds ``iss``, ``aud``, ``sub`` and ``type``."""
    claims: dict[str, Any] = {
        "iat": int(now),
        "nbf": int(now),
        "exp": int(expires),
        "jti": jti,
        "sid": family,
        "client_id": client,
    }
    if scopes is not None:
        claims["scope"] = " ".join(sorted(scopes))
    return claims


def _matches(shape: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and shape.fullmatch(value) is not None


def _object(part: str) -> dict[str, Any]:
    try:
        return loads_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (Base64Error, ValueError):
        raise Unfit("unreadable") from None
