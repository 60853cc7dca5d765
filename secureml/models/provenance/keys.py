"""The keys of bundles, in PEM: elliptic curves, of which the library signs and verifies three."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from secureml.models.provenance.untrusted_file import read_file, refuse

_KEY_LIMIT = 64 * 1024
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_KINDS = "elliptic-curve keys (P-256, P-384 or P-521)"
_MAKE_KEY = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out bundle.key"
_PUBLIC_KEY = "name the public key of who signs: openssl pkey -in bundle.key -pubout"


def check_private_key(path: Path) -> None:
    """Raise ConfigError unless a file holds a private key that can sign bundles."""
    content = read_file(path, _KEY_LIMIT, "key")
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        refuse(path, "the key is encrypted", "write it without a password: openssl pkey -in KEY")
    except (ValueError, UnsupportedAlgorithm):
        refuse(path, "it is no private key in PEM", _MAKE_KEY)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        refuse(
            path,
            f"bundles are signed with {_KINDS} alone; this key is of another kind, as is the "
            "Ed25519 key that seals models",
            _MAKE_KEY,
        )


def public_pem(path: Path) -> bytes:
    """Return a public key as its one PEM, by whose SHA-256 bundles name it."""
    content = read_file(path, _KEY_LIMIT, "key")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        refuse(path, "it is no public key in PEM", _PUBLIC_KEY)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        refuse(path, f"bundles are verified with {_KINDS} alone", _PUBLIC_KEY)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
