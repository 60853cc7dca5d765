"""The halves of a signing key: made, written down, read back, and shown as a public JWK.

ES256 or EdDSA and nothing else: an algorithm that can be confused with another is not here.
A key's id is its RFC 7638 thumbprint, so it cannot be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import ECKey, OKPKey

ALGORITHMS = ("ES256", "EdDSA")
PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey = EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs; its private half is kept out of repr."""

    kid: str
    algorithm: str
    private: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key trusted until ``ends`` (epoch seconds), for its algorithm alone (RFC 8725, 3.1)."""

    kid: str
    algorithm: str
    key: PublicKey
    ends: float


def generate(algorithm: str) -> SigningKey:
    """Return a fresh key; raises ValueError for an algorithm we do not sign with."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm!r} is not one of {', '.join(ALGORITHMS)}")
    while True:
        private: PrivateKey = (
            generate_private_key(SECP256R1())
            if algorithm == "ES256"
            else Ed25519PrivateKey.generate()
        )
        kid = _joserfc(public_pem(private), algorithm).thumbprint()
        # An id that begins with a hyphen would be an option on every command line.
        if not kid.startswith("-"):
            return SigningKey(kid, algorithm, private)


def private_pem(private: PrivateKey) -> bytes:
    """Return the private half as PEM (PKCS 8), unencrypted: the file's mode protects it."""
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(private: PrivateKey) -> str:
    """Return the public half as PEM."""
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


def load_private(pem: bytes, public: str) -> PrivateKey:
    """Return the private half; raises ValueError unless it belongs to that public one."""
    private = cast("PrivateKey", serialization.load_pem_private_key(pem, password=None))
    if public_pem(private) != public:
        raise ValueError("the file holds another key")
    return private


def load_public(pem: str) -> PublicKey:
    """Return the public half of a PEM text of ours."""
    return cast("PublicKey", serialization.load_pem_public_key(pem.encode()))


def jwk(public: str, algorithm: str, kid: str) -> dict[str, Any]:
    """Return the public half as a JWK (RFC 7517) that says what it is for."""
    plain = dict(_joserfc(public, algorithm).as_dict(private=False))
    return {**plain, "kid": kid, "use": "sig", "alg": algorithm}


def _joserfc(public: str, algorithm: str) -> ECKey | OKPKey:
    kind = ECKey if algorithm == "ES256" else OKPKey
    return kind.import_key(public)
