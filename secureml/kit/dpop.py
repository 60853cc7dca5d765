"""Proof of possession (RFC 9449): the sender of a bound token also has its key.

A proof is good for one request, at one address, with one token, for minutes. Whether it was
seen before is the caller's to ask; the digest that names it is given for that.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from joserfc.util import urlsafe_b64encode

from secureml.kit.access_token import MAX_TOKEN, parse
from secureml.kit.jwt_claims import InvalidToken, UnverifiedToken, text_claim, time_claim
from secureml.kit.public_key import (
    KeyRefused,
    TrustedKey,
    check_strength,
    fitting,
    is_private,
    public_key,
)

ALGORITHMS = ("ES256", "ES384", "EdDSA", "PS256")
CHALLENGE = f'DPoP algs="{" ".join(ALGORITHMS)}"'  # RFC 9449, 7.1
WINDOW = 300.0  # seconds a proof is good for
SKEW = 60.0  # seconds a sender's clock may be ahead
RSA_BITS = 3072
_REFUSED = frozenset({"jku", "x5u", "x5c", "crit", "b64", "zip"})


class Expected(NamedTuple):
    """What the proof must be for; ``path`` decoded, ``origins`` such as https://ml.example.org.

    Where a token is only asked for (RFC 9449, 5) there is no ``token`` yet, and any key may be
    shown unless ``thumbprint`` says which.
    """

    method: str
    path: str
    origins: Collection[str]
    token: str | None
    thumbprint: str | None


class Proof(NamedTuple):
    """A proof that holds: what names it, the moment (epoch seconds) from which it is old, and
    the key it was made with.
    """

    digest: str
    ends: float
    thumbprint: str


def check_proof(proof: str, expected: Expected, now: float) -> Proof:
    """Return a proof that holds for this request and token, or raise Unfit."""
    token = parse(proof) if len(proof) <= MAX_TOKEN else None
    if token is None:
        raise InvalidToken("dpop_malformed")
    key = _key(token)
    thumbprint = key.key.thumbprint()
    if expected.thumbprint is not None and not hmac.compare_digest(
        thumbprint.encode(), expected.thumbprint.encode()
    ):
        raise InvalidToken("dpop_other_key")
    if not key.verifies(proof):
        raise InvalidToken("dpop_signature")
    claims = token.claims
    if claims.get("htm") != expected.method:
        raise InvalidToken("dpop_method")
    if not _same_address(claims.get("htu"), expected):
        raise InvalidToken("dpop_address")
    if expected.token is not None and claims.get("ath") != _digest(expected.token):
        raise InvalidToken("dpop_other_token")
    issued = _issued(claims, now)
    name = hashlib.sha256(f"{thumbprint}\0{text_claim(claims, 'jti')}".encode()).hexdigest()
    return Proof(name, issued + WINDOW, thumbprint)


def _key(token: UnverifiedToken) -> TrustedKey:
    """Return the key the proof itself brings: here, and only here, a token may do that."""
    header = token.header
    if header.get("typ") != "dpop+jwt" or not _REFUSED.isdisjoint(header):
        raise InvalidToken("dpop_header")
    jwk = header.get("jwk")
    if token.algorithm not in ALGORITHMS or not isinstance(jwk, dict) or is_private(jwk):
        raise InvalidToken("dpop_header")
    try:
        key, kty, curve = public_key(jwk)
        check_strength(key, RSA_BITS)
    except KeyRefused:
        raise InvalidToken("dpop_key") from None
    if token.algorithm not in fitting(kty, curve):
        raise InvalidToken("dpop_header")
    return TrustedKey(None, token.algorithm, b"", key)


def _same_address(htu: Any, expected: Expected) -> bool:
    # Query and fragment do not count (RFC 9449, 4.3). Whose address this is, the settings say:
    # a Host header is the sender's word.
    if not isinstance(htu, str) or len(htu) > MAX_TOKEN:
        return False
    try:
        parts = urlsplit(htu)
        path = unquote(parts.path or "/", errors="strict")
    except ValueError:
        return False
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    return origin.removesuffix(":443") in expected.origins and path == expected.path


def _issued(claims: Mapping[str, Any], now: float) -> float:
    issued = time_claim(claims, "iat")
    if not now - WINDOW < issued <= now + SKEW:
        raise InvalidToken("dpop_time")
    return issued


def _digest(token: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(token.encode("latin-1", "replace")).digest()).decode()
