"""Seals: an Ed25519 signature (RFC 8032) over a model's bytes and its card's bytes together."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from secureml.models.artifact.version_files import Artifact, ModelRefused

_PURPOSE = b"secureml model seal v1\n"  # no other signature by this key can pass for one
_ALGORITHM = "Ed25519"
_Digests = tuple[str, str]
_FIX = "seal it again with a key this server trusts; if no one in your team changed it, investigate"


def sign(model_bytes: bytes, card_bytes: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return the contents of signature.json."""
    digests = _digests(model_bytes, card_bytes)
    return _written(key_id(key.public_key()), digests, key.sign(_statement(digests)))


def verify_signature(artifact: Artifact, public_keys: Sequence[Ed25519PublicKey]) -> None:
    """Raise ModelRefused("signature") unless one of the keys signed this model and card."""
    if artifact.signature_bytes is None:
        raise ModelRefused("signature", "the model is not signed", _FIX)
    found, sealed, seal = _read(artifact.signature_bytes)
    key = {key_id(key): key for key in public_keys}.get(found)
    if key is None:
        raise ModelRefused("signature", f"it is signed with a key not trusted here ({found})", _FIX)
    try:
        key.verify(seal, _statement(sealed))
    except InvalidSignature:
        raise ModelRefused("signature", "the signature file was changed or forged", _FIX) from None
    # Only now, and only by the signed digests, can it be told which of the two was changed.
    there = _digests(artifact.model_bytes, artifact.card_bytes)
    for what, then, now in zip(("model file", "card"), sealed, there, strict=True):
        if then != now:
            raise ModelRefused("signature", f"the {what} changed after it was signed", _FIX)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _digests(model_bytes: bytes, card_bytes: bytes) -> _Digests:
    return hashlib.sha256(model_bytes).hexdigest(), hashlib.sha256(card_bytes).hexdigest()


def _statement(digests: _Digests) -> bytes:
    return _PURPOSE + b"".join(map(bytes.fromhex, digests))


def _written(key: str, digests: _Digests, seal: bytes) -> bytes:
    """Return the one way to write a seal: any other spelling of it is a changed file."""
    return json.dumps(
        {
            "algorithm": _ALGORITHM,
            "key_id": key,
            "model_sha256": digests[0],
            "card_sha256": digests[1],
            "signature": base64.b64encode(seal).decode(),
        }
    ).encode()


def _read(data: bytes) -> tuple[str, _Digests, bytes]:
    try:
        raw: Any = json.loads(data)
        digests = (raw["model_sha256"], raw["card_sha256"])
        seal = base64.b64decode(raw["signature"], validate=True)
        if type(raw["key_id"]) is not str or len(seal) != 64:
            raise ValueError("key_id or signature")
        if any(len(bytes.fromhex(digest)) != 32 for digest in digests):
            raise ValueError("digest")
        # Keys, algorithm and spelling at once: a seal reads as it was written, or not at all.
        if _written(raw["key_id"], digests, seal) != data:
            raise ValueError("spelling")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ModelRefused("signature", "the signature file cannot be read", _FIX) from None
    return raw["key_id"], digests, seal


def generate_key() -> Ed25519PrivateKey:
    """Return a new sealing key, from the system's randomness."""
    return Ed25519PrivateKey.generate()


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the private key as PKCS#8 PEM, unencrypted: its file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return the public key as PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a sealing key; raises OSError or ValueError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except TypeError:
        raise ValueError("the key is encrypted") from None
    except UnsupportedAlgorithm:
        raise ValueError("a key of an unknown kind") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")  # noqa: TRY004 - callers name one error
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read the public half of a sealing key; raises OSError or ValueError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except UnsupportedAlgorithm:
        raise ValueError("a key of an unknown kind") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")  # noqa: TRY004 - callers name one error
    return key
