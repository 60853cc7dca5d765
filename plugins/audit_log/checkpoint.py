"""Checkpoints: the number and seal of a record, signed and kept somewhere else.

Whoever holds the key of the chain can write another one; without the checkpoint key, and without
the place where checkpoints are kept, it will not agree with what was signed before (Ed25519,
RFC 8032). Knows no Flask and no SecureML.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .segments import give

_DOMAIN = b"secureml audit checkpoint\0"
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class InvalidKey(ValueError):
    """The bytes are no Ed25519 key in PEM."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The chain as it stood: the last record's number and seal, when it was signed, its name."""

    seq: int
    mac: str
    time: str
    chain: str = ""


def new_key() -> bytes:
    """Return a new key that signs, in PEM without a password: its file's mode protects it."""
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Ed25519PrivateKey.generate().private_bytes(*form, serialization.NoEncryption())


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """Return the key that signs. Raises InvalidKey."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise InvalidKey("this is not a private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidKey("this is not an Ed25519 key")
    return key


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key as in a checkpoint line: 32 bytes in base64url without padding."""
    return _b64(key.public_bytes(*_RAW))


def public_key(text: str) -> Ed25519PublicKey:
    """Return the public key from such a text. Raises InvalidKey."""
    try:
        return Ed25519PublicKey.from_public_bytes(_unb64(text))
    except ValueError:
        raise InvalidKey("this is not an Ed25519 public key in base64url") from None


def sign(key: Ed25519PrivateKey, point: Checkpoint) -> bytes:
    """Return the line, with its line feed."""
    fields: dict[str, Any] = {"seq": point.seq, "mac": point.mac, "time": point.time}
    if point.chain:
        fields["chain"] = point.chain
    signature = key.sign(_DOMAIN + _canonical(fields))
    fields |= {"public": public_text(key.public_key()), "signature": _b64(signature)}
    return _canonical(fields) + b"\n"


def append(path: Path, line: bytes) -> None:
    """Write a checkpoint down and force it to the disk. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    handle = os.open(path, flags, 0o640)
    try:
        give(handle, path.parent)
        if os.write(handle, line) != len(line):
            raise OSError("the checkpoint was not written completely")
        os.fdatasync(handle)
    finally:
        os.close(handle)


def latest(content: bytes, key: Ed25519PublicKey) -> tuple[Checkpoint | None, int]:
    """Return the highest checkpoint this key has signed, and how many lines were seen not to be.

    Of several chains that of the last line counts: who begins a new one signs that at once.
    """
    lines = [(raw, point) for raw in content.splitlines() if (point := _point(raw))]
    unsigned = len(content.splitlines()) - len(lines)
    # To check every signature would take a minute after a year: the last and the highest do.
    while lines and not _is_signed(lines[-1][0], key):
        lines.pop()
        unsigned += 1
    if not lines:
        return None, unsigned
    chain = lines[-1][1].chain
    lines.sort(key=lambda each: each[1].seq)
    for raw, point in reversed(lines):
        if not _is_signed(raw, key):
            unsigned += 1
        elif point.chain == chain:
            return point, unsigned
    return None, unsigned


def _names(found: dict[str, Any]) -> tuple[str, ...]:
    return ("seq", "mac", "time", "chain") if "chain" in found else ("seq", "mac", "time")


def _point(raw: bytes) -> Checkpoint | None:
    """Return what a line says, whoever has signed it."""
    try:
        found: dict[str, Any] = json.loads(raw)
        words = [str(found[name]) for name in _names(found)[1:]]
        return Checkpoint(int(found["seq"]), *words)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_signed(raw: bytes, key: Ed25519PublicKey) -> bool:
    found: dict[str, Any] = json.loads(raw)
    try:
        signed = {name: found[name] for name in _names(found)}
        key.verify(_unb64(found["signature"]), _DOMAIN + _canonical(signed))
    except (ValueError, KeyError, TypeError, InvalidSignature):
        return False
    return True


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
