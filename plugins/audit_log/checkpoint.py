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

_DOMAIN = b"secureml audit checkpoint\0"
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class NoKey(ValueError):
    """The bytes are no Ed25519 key in PEM."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The chain as it stood: the last record's number and seal, and when it was signed."""

    seq: int
    mac: str
    time: str


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """Return the key that signs. Raises NoKey."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise NoKey("this is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise NoKey("this is no Ed25519 key")
    return key


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key as in a checkpoint line: 32 bytes in base64url without padding."""
    return _b64(key.public_bytes(*_RAW))


def public_key(text: str) -> Ed25519PublicKey:
    """Return the public key from such a text. Raises NoKey."""
    try:
        return Ed25519PublicKey.from_public_bytes(_unb64(text))
    except ValueError:
        raise NoKey("this is no Ed25519 public key in base64url") from None


def sign(key: Ed25519PrivateKey, point: Checkpoint) -> bytes:
    """Return the line, with its line feed."""
    fields = {"seq": point.seq, "mac": point.mac, "time": point.time}
    signature = key.sign(_DOMAIN + _canonical(fields))
    fields |= {"public": public_text(key.public_key()), "signature": _b64(signature)}
    return _canonical(fields) + b"\n"


def append(path: Path, line: bytes) -> None:
    """Write a checkpoint down and force it to the disk. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    handle = os.open(path, flags, 0o640)
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        if os.write(handle, line) != len(line):
            raise OSError("the checkpoint was not written whole")
        os.fdatasync(handle)
    finally:
        os.close(handle)


def latest(content: bytes, key: Ed25519PublicKey) -> tuple[Checkpoint | None, int]:
    """Return the highest checkpoint this key has signed, and how many lines it has not."""
    best: Checkpoint | None = None
    strange = 0
    for raw in content.splitlines():
        point = _read(raw, key)
        if point is None:
            strange += 1
        elif best is None or point.seq >= best.seq:
            best = point
    return best, strange


def _read(raw: bytes, key: Ed25519PublicKey) -> Checkpoint | None:
    try:
        found: dict[str, Any] = json.loads(raw)
        signed = {name: found[name] for name in ("seq", "mac", "time")}
        key.verify(_unb64(found["signature"]), _DOMAIN + _canonical(signed))
        return Checkpoint(int(signed["seq"]), str(signed["mac"]), str(signed["time"]))
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature):
        return None


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
