"""One public key (JWK, RFC 7517): its public members alone, its one algorithm, its strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from secureml.kit.jws_signature import signed_by

MAX_RSA_BITS = 8192  # beyond it, checking one signature is work enough to be an attack
_RSA_TEXT = MAX_RSA_BITS // 6 + 8
_LEAST_EXPONENT = 65537
_PUBLIC = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CLASSES: dict[str, type[ECKey] | type[OKPKey] | type[RSAKey]] = {
    "EC": ECKey, "OKP": OKPKey, "RSA": RSAKey,
}  # fmt: skip
_FITTING = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("RSA", ""): ("PS256", "RS256"),
}


class KeyRefused(Exception):
    """One published key is not trusted; its text is the rule."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key with its one algorithm; ``identity`` is the same however it was written."""

    kid: str | None
    alg: str
    identity: bytes
    key: Key = field(repr=False, compare=False)

    def verifies(self, text: str) -> bool:
        """Tell whether this key signed the token."""
        return signed_by(text, self.key)


def public_key(jwk: Mapping[str, Any]) -> tuple[Key, str, str]:
    """Return a key made of the public members alone, its type and its curve, or KeyRefused."""
    kty = jwk.get("kty")
    if kty == "oct":
        raise KeyRefused("symmetric")
    if not isinstance(kty, str) or kty not in _PUBLIC:
        raise KeyRefused("algorithm")
    members = {name: _member(jwk.get(name)) for name in _PUBLIC[kty]}
    curve = members.get("crv", "")
    if (kty, curve) not in _FITTING:
        raise KeyRefused("algorithm")
    try:
        key = _CLASSES[kty].import_key({"kty": kty, **members})
        # The library reads the numbers when they are first used.
        key.thumbprint()
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise KeyRefused("malformed") from None
    return key, kty, curve


def _member(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _RSA_TEXT:
        raise KeyRefused("malformed")
    return value


def fitting(kty: str, curve: str) -> tuple[str, ...]:
    """Return the algorithms a key of this kind can be used with."""
    return _FITTING[kty, curve]


def check_strength(key: Key, least_bits: int) -> None:
    """Raise KeyRefused for an RSA key too small, too large, of a tiny exponent, or of ROCA."""
    if not isinstance(key, RSAKey):
        return
    numbers = key.public_key.public_numbers()
    if not least_bits <= numbers.n.bit_length() <= MAX_RSA_BITS or numbers.e < _LEAST_EXPONENT:
        raise KeyRefused("weak")
    if _is_roca(numbers.n):
        raise KeyRefused("weak")


# What primes of the flawed library (CVE-2017-15361) leave when divided by each small prime p: a
# power of 65537. So does their product, which of a sound key is true once in some 10^8.
_ROCA = {
    p: frozenset(pow(65537, n, p) for n in range(p))
    for p in range(3, 168, 2)
    if all(p % divisor for divisor in range(3, p, 2))
}


def _is_roca(modulus: int) -> bool:
    """Return whether a modulus has the mark of keys that can be factored (Nemec et al., 2017)."""
    return all(modulus % p in powers for p, powers in _ROCA.items())


def is_private(jwk: Mapping[str, Any]) -> bool:
    """Tell whether a key was given away with its secret part."""
    return not _PRIVATE.isdisjoint(jwk)
