"""Checks of the header and the claims of a JSON Web Token (RFC 7519, RFC 8725, RFC 9068).

Stricter than libraries are: JSON without duplicate names, every claim of its type, no header
member by which a token could bring its own key. Pure: knows no key, no library for signatures
and no clock; the time is passed in. Nothing that is read here is true before a signature and
the issuer's own records say so.

Every refusal is an ``InvalidToken``, whose ``reason`` is one word for the log, never for the
caller: ``oversize``, ``shape``, ``unreadable``, ``header``, ``missing_<claim>``, ``expired``,
``too_old``, or the name of the header member or claim that is wrong.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secureml.kit.strict_json import loads_object

MAX_TEXT = 255  # OpenID Connect Core, section 2: the longest `sub`
_MAX_TIME = 2**53  # beyond it, a number of seconds is not exact any more
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
# RFC 8725, 3.10: a sender who may name the key could name its own. `crit` and `b64` change what
# the signature covers, `zip` inflates; an access token has no legitimate use for any of them.
_FORBIDDEN_HEADER = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"})


class InvalidToken(Exception):
    """A token is refused; ``reason`` is one word for the log, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token taken apart; nothing in it is verified."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Who it says issued it, "" where it says nothing usable."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""

    @property
    def algorithm(self) -> str:
        """How it says it is signed, by the one name of the algorithm."""
        return canonical_algorithm(self.header.get("alg"))

    @property
    def kid(self) -> str | None:
        """Which key it says signed it; check the header first."""
        return self.header.get("kid")


@dataclass(frozen=True, slots=True)
class TokenRequirements:
    """What the tokens of one issuer must say; times are in seconds.

    ``types`` are values of ``typ`` in small letters (RFC 9068, 2.1). With ``header_names`` the
    header holds these members and no other; without, any but those that bring a key or change
    what is signed. ``required`` claims must be there; ``exp`` and ``iat`` always.
    With ``single_audience`` the claim ``aud`` is one text, not a list (RFC 7519, 4.1.3).

    ``expiry_leeway`` is how long after ``exp`` a token still counts, ``clock_skew`` how far in
    the future ``iat`` and ``nbf`` may lie. A token is refused ``max_age`` after its ``iat``,
    so that a lifetime that was shortened holds for tokens that are out already.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    types: frozenset[str]
    required: frozenset[str] = frozenset()
    header_names: frozenset[str] | None = None
    single_audience: bool = False
    expiry_leeway: float = 0.0
    clock_skew: float = 0.0
    max_age: float | None = None


def canonical_algorithm(name: object) -> str:
    """Return the one name of an algorithm, "" for what is none.

    Ed25519 (RFC 9864) and EdDSA (RFC 8037) are one algorithm here.
    """
    if not isinstance(name, str):
        return ""
    return "EdDSA" if name == "Ed25519" else name


def parse_token(
    text: str, *, max_length: int, signature_length: int | None = None
) -> UnverifiedToken:
    """Take a compact JWS apart (RFC 7515, 7.1) without believing it; raises InvalidToken.

    ``max_length`` is in characters and is looked at first; ``signature_length``, where all
    allowed algorithms sign with equally many bytes, in characters of base64url.
    """
    if len(text) > max_length:
        raise InvalidToken("oversize")
    match = _COMPACT.fullmatch(text)
    if match is None or (signature_length is not None and len(match[3]) != signature_length):
        raise InvalidToken("shape")
    return UnverifiedToken(text, _object(match[1]), _object(match[2]))


def check_registered_header(header: Mapping[str, Any], requirements: TokenRequirements) -> None:
    """Raise InvalidToken unless the header names an allowed algorithm and type."""
    if not _has_allowed_members(header, requirements.header_names):
        raise InvalidToken("header")
    if canonical_algorithm(header.get("alg")) not in requirements.algorithms:
        raise InvalidToken("alg")
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_TEXT:
        raise InvalidToken("kid")
    typ = header.get("typ", "")
    if not isinstance(typ, str) or typ.lower() not in requirements.types:
        raise InvalidToken("typ")


def check_registered_claims(
    claims: Mapping[str, Any], requirements: TokenRequirements, now: float
) -> None:
    """Raise InvalidToken unless the registered claims are whole, for us and for ``now``.

    ``now`` is in epoch seconds. The issuer's own claims are the caller's to check.
    """
    for name in sorted(requirements.required - claims.keys()):
        raise InvalidToken(f"missing_{name}")
    if claims.get("iss") != requirements.issuer:
        raise InvalidToken("iss")
    audiences = _audiences(claims.get("aud"), single=requirements.single_audience)
    if requirements.audiences.isdisjoint(audiences):
        raise InvalidToken("aud")
    text_claim(claims, "sub")
    check_times(claims, requirements, now)


def check_times(claims: Mapping[str, Any], requirements: TokenRequirements, now: float) -> None:
    """Raise InvalidToken unless the token is alive at ``now`` (epoch seconds)."""
    expires, issued = time_claim(claims, "exp"), time_claim(claims, "iat")
    begins = time_claim(claims, "nbf") if "nbf" in claims else issued
    # RFC 7519, 4.1.4: on or after the moment of expiry a token is expired.
    if now >= expires + requirements.expiry_leeway:
        raise InvalidToken("expired")
    if begins > now + requirements.clock_skew:
        raise InvalidToken("nbf" if "nbf" in claims else "iat")
    if issued > now + requirements.clock_skew:
        raise InvalidToken("iat")
    if requirements.max_age is not None and now >= issued + requirements.max_age:
        raise InvalidToken("too_old")


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that must be a printable text of 1 to 255 characters."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise InvalidToken(name)
    return value


def time_claim(claims: Mapping[str, Any], name: str) -> float:
    """Return a claim that must be a NumericDate, in epoch seconds (RFC 7519, 2)."""
    value = claims.get(name)
    # A boolean is an int in Python; NaN fails both comparisons, infinity the second.
    if type(value) not in (int, float) or not 0 <= value <= _MAX_TIME:  # type: ignore[operator]
        raise InvalidToken(name)
    return float(value)  # type: ignore[arg-type]


def _has_allowed_members(header: Mapping[str, Any], names: frozenset[str] | None) -> bool:
    return _FORBIDDEN_HEADER.isdisjoint(header) if names is None else header.keys() == names


def _audiences(value: object, *, single: bool) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not single and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise InvalidToken("aud")


def _object(part: str) -> dict[str, Any]:
    try:
        return loads_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (Base64Error, ValueError):
        raise InvalidToken("unreadable") from None
