"""Access tokens of ours (RFC 9068): what they say, what signs them, and whether one holds.

A token that we would not have written is not read: three header members and no other, every
claim there. That its family stands is asked elsewhere, and no token counts without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OKPKey

from secureml.kit.access_token import bound_to, check_claims, check_header
from secureml.kit.jws_signature import sign, signed_by
from secureml.kit.jwt_claims import (
    InvalidToken,
    TokenRequirements,
    UnverifiedToken,
    text_claim,
    time_claim,
)
from secureml.kit.protocols import SigningKeys

TYPE = "at+jwt"
ALGORITHMS = ("ES256", "EdDSA")
_HEADER = frozenset({"alg", "kid", "typ"})
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
# Seconds a clock may be set back (NTP), or another host's be behind, between signing and reading:
# a token of ours counts although its `iat` and `nbf` lie so far ahead. `exp` has no such leeway.
CLOCK_SET_BACK = 5.0
_KEYS = 16  # keys kept ready; a ring has two or three


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a new token says of whom it is for."""

    oauth_client: str
    subject: str
    scopes: frozenset[str]
    family: str
    jti: str
    expires: float
    jkt: str | None


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token that holds says; ``ends`` is when its signature stops to count."""

    oauth_client: str
    subject: str
    scopes: frozenset[str]
    family: str
    jti: str
    issued: float
    ends: float
    jkt: str | None


class Tokens:
    """Writes and reads the access tokens of one issuer."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        lifetime: float,
        ring: SigningKeys,
        now: Callable[[], float],
    ) -> None:
        self.issuer, self.audience, self.lifetime = issuer, audience, lifetime
        self._rules = TokenRequirements(
            issuer,
            frozenset({audience}),
            frozenset(ALGORITHMS),
            frozenset({TYPE}),
            expiry_leeway=0.0,
            clock_skew=CLOCK_SET_BACK,
        )
        self._ring, self._now = ring, now
        self._ready: dict[tuple[str, bool], ECKey | OKPKey] = {}

    def write(self, new: NewToken) -> str:
        """Return a signed token; raises what the ring raises where it has no key."""
        now, key = int(self._now()), self._ring.active()
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": new.subject,
            "client_id": new.oauth_client,
            "scope": " ".join(sorted(new.scopes)),
            "iat": now,
            "nbf": now,
            "exp": int(new.expires),
            "jti": new.jti,
            "sid": new.family,
        }
        if new.jkt is not None:
            claims["cnf"] = {"jkt": new.jkt}
        header = {"alg": key.algorithm, "kid": key.kid, "typ": TYPE}
        signer = self._joserfc(key.kid, key.algorithm, key.private, private=True)
        return sign(header, json.dumps(claims, separators=(",", ":")).encode(), signer)

    def read(self, token: UnverifiedToken) -> TokenClaims:
        """Return what a token says once it is proven; raises Unfit."""
        if token.header.keys() != _HEADER:
            raise InvalidToken("header")
        if token.header["typ"] != TYPE:
            raise InvalidToken("typ")
        check_header(token, self._rules)
        key = self._ring.public(token.kid or "")
        # A key is for one algorithm; what the token says cannot change which.
        if key is None or key.algorithm != token.algorithm:
            raise InvalidToken("key_unknown")
        verifier = self._joserfc(str(token.kid), key.algorithm, key.key, private=False)
        if not signed_by(token.text, verifier):
            raise InvalidToken("signature")
        check_claims(token, self._rules, self._now())
        return self._claims(token.claims, key.ends)

    def _claims(self, claims: Mapping[str, Any], key_ends: float) -> TokenClaims:
        for name in ("jti", "sid"):
            if not _ID.fullmatch(text_claim(claims, name)):
                raise InvalidToken(name)
        issued = time_claim(claims, "iat")
        # So a lifetime that was shortened holds for tokens that are out already.
        ends = min(time_claim(claims, "exp"), issued + self.lifetime, key_ends)
        if ends <= self._now():
            raise InvalidToken("too_old")
        return TokenClaims(
            text_claim(claims, "client_id"),
            text_claim(claims, "sub"),
            frozenset(str(claims.get("scope", "")).split()),
            claims["sid"],
            claims["jti"],
            issued,
            ends,
            bound_to(claims),
        )

    def _joserfc(self, kid: str, algorithm: str, key: Any, *, private: bool) -> ECKey | OKPKey:
        found = self._ready.get((kid, private))
        if found is None:
            if len(self._ready) >= _KEYS:
                self._ready.clear()
            kind = ECKey if algorithm == "ES256" else OKPKey
            found = kind.import_key(_pem(key, private=private))
            self._ready[(kid, private)] = found
        return found


def _pem(key: Any, *, private: bool) -> bytes:
    pem = serialization.Encoding.PEM
    if private:
        plain = serialization.NoEncryption()
        written = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    else:
        written = key.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return bytes(written)
