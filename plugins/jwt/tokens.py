"""What a token of ours looks like, and every rule it must keep beside its signature.

Libraries accept more than we issue: tokens without ``exp`` or ``jti``, headers that bring
their own key, a name given twice. What we would not have written, we do not read
(RFC 8725). Knows no library, no clock and no store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secureml.kit.jwt_claims import (
    InvalidToken,
    TokenRequirements,
    UnverifiedToken,
    check_registered_claims,
    check_registered_header,
    parse_token,
)

MAX_BYTES = 4096
ALGORITHMS = ("ES256", "EdDSA")
ACCESS, REFRESH = "access", "refresh"
# RFC 9068 names the first; the second is ours, so that neither can pass for the other.
TYPES = {ACCESS: "at+jwt", REFRESH: "rt+jwt"}
_HEADER = frozenset({"alg", "kid", "typ"})
_CLAIMS = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "sid", "client_id"})
_SIGNATURE = 86  # both algorithms sign with 64 bytes: 86 characters of base64url
_KID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What every token must say; times are in seconds, lifetimes by kind.

    ``leeway`` is how far ahead of our clock ``iat`` and ``nbf`` may be. There is none for
    ``exp``: a token that is over must not come back because a clock is slow.
    """

    issuer: str
    audience: str
    lifetimes: Mapping[str, float]
    leeway: float = 0.0

    _required: dict[str, TokenRequirements] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once: a new token is compared with them five times.
        object.__setattr__(self, "_required", {kind: self._of(kind) for kind in self.lifetimes})

    def requirements(self, kind: str) -> TokenRequirements:
        """Return what header and claims of one kind must say."""
        return self._required[kind]

    def _of(self, kind: str) -> TokenRequirements:
        return TokenRequirements(
            self.issuer,
            frozenset({self.audience}),
            frozenset(ALGORITHMS),
            frozenset({TYPES[kind]}),
            required=_CLAIMS,
            header_names=_HEADER,
            single_audience=True,
            clock_skew=self.leeway,
            max_age=self.lifetimes[kind],
        )


def kind_of(header: Mapping[str, Any]) -> str:
    """Return which kind a token says it is; an access token unless it says the other."""
    return REFRESH if header.get("typ") == TYPES[REFRESH] else ACCESS


def is_jws(text: str) -> bool:
    """Tell whether a text has the three parts of a signed token at all."""
    return text.count(".") == 2


def parse(text: str) -> UnverifiedToken:
    """Take a token apart without believing it; raises InvalidToken."""
    return parse_token(text, max_length=MAX_BYTES, signature_length=_SIGNATURE)


def check_header(header: Mapping[str, Any], kind: str, policy: TokenPolicy) -> None:
    """Refuse every header but the one we write: no ``jku``, ``jwk``, ``x5c``, ``crit``, ``zip``."""
    check_registered_header(header, policy.requirements(kind))
    # What we write, we write in one way: no second name of an algorithm, no capitals.
    if header["alg"] not in ALGORITHMS:
        raise InvalidToken("alg")
    if not _KID.fullmatch(header["kid"]):
        raise InvalidToken("kid")
    if header["typ"] != TYPES[kind]:
        raise InvalidToken("typ")


def check_claims(claims: Mapping[str, Any], kind: str, policy: TokenPolicy, now: float) -> None:
    """Refuse a token that does not say all it must, or is not for us and for now."""
    check_registered_claims(claims, policy.requirements(kind), now)
    if claims["type"] != kind:
        raise InvalidToken("type")
    for name in ("jti", "sid"):
        if not isinstance(claims[name], str) or not _ID.fullmatch(claims[name]):
            raise InvalidToken(name)
    if claims["client_id"] != claims["sub"]:
        raise InvalidToken("client_id")
    if not isinstance(claims.get("scope", "" if kind == REFRESH else None), str):
        raise InvalidToken("scope")


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
