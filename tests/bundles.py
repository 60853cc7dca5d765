"""Keys and bundles of OpenSSF model signing, and bundles that somebody has changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing


class Keys(NamedTuple):
    """The files of a key: its private and its public half."""

    private: Path
    public: Path


def write_key(folder: Path, name: str, key: Any) -> Keys:
    """Write a private key and its public half, as openssl does."""
    keys = Keys(folder / f"{name}.key", folder / f"{name}.pem")
    keys.private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    keys.private.chmod(0o600)
    keys.public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return keys


def new_keys(folder: Path, name: str) -> Keys:
    """Write a new key on P-256."""
    return write_key(folder, name, ec.generate_private_key(ec.SECP256R1()))


def bundle_of(path: Path, keys: Keys, bundle: Path, how: hashing.Config | None = None) -> Path:
    """Sign a folder or file as anybody would, with the library; return the bundle's path."""
    signer = signing.Config().use_elliptic_key_signer(private_key=keys.private)
    signer.set_hashing_config(how or hashing.Config()).sign(path, bundle)
    return bundle


def whole() -> hashing.Config:
    """Return what leaves no file out: by itself, the library leaves out those of git."""
    return hashing.Config().set_ignored_paths(paths=(), ignore_git_paths=False)


def shards() -> hashing.Config:
    """Return what has each file signed in shards of ten bytes."""
    return hashing.Config().use_shard_serialization(shard_size=10)


def edit_bundle(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of a bundle."""
    content = json.loads(bundle.read_text("utf-8"))
    edit(content)
    bundle.write_text(json.dumps(content), "utf-8")


def edit_payload(content: dict[str, Any], edit: Callable[[dict[str, Any]], object]) -> None:
    """Change what a bundle signs, and leave its signature as it was."""
    envelope = content["dsseEnvelope"]
    payload = json.loads(base64.b64decode(envelope["payload"]))
    edit(payload)
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
