"""Sealing: a joblib file becomes a version that proves itself at every load.

The estimator is loaded under the allowlist, its card is learned, both are signed, and the
new folder takes its place only after it has passed the very checks a start makes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import signature
from .allowlist import allowed_names
from .artifact import (
    CARD_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    Artifact,
    ModelRefused,
    read_artifact,
    read_model_file,
)
from .card import Card
from .learning import learn_card
from .proving import prove
from .registry import Registry, check_name, point
from .rule_file import read_rules
from .unpickling import load_recorded


@dataclass(frozen=True)
class Sealed:
    """What sealing made."""

    name: str
    version: str
    folder: Path
    card: Card


def seal(
    model_path: Path,
    *,
    name: str,
    root: Path,
    data: Path | None,
    target: str | None,
    key: Ed25519PrivateKey,
    allow: frozenset[str],
    now: Callable[[], float],
    rules: Path | None = None,
) -> Sealed:
    """Make a model file the next version of a name; raises ModelRefused and leaves nothing."""
    folder = root / check_name(name)
    version = _next_version(Registry(root), name)
    draft = Artifact(name, version, read_model_file(model_path), b"", None)
    estimator, names = load_recorded(draft.model_bytes, allowed_names(allow))
    created = datetime.fromtimestamp(now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    card = learn_card(
        draft, estimator, names, data=data, target=target, created=created, rules=read_rules(rules)
    )
    card_bytes = card.to_json()
    seal_bytes = signature.sign(draft.model_bytes, card_bytes, key)
    made_folder = not folder.exists()
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        _place(
            folder,
            {MODEL_FILE: draft.model_bytes, CARD_FILE: card_bytes, SIGNATURE_FILE: seal_bytes},
            name,
            version,
            key,
            allow,
        )
    except ModelRefused:
        if made_folder:
            folder.rmdir()
        raise
    if not (folder / "current").exists():
        point(folder, version, None)
    return Sealed(name, version, folder / version, card)


def _next_version(registry: Registry, name: str) -> str:
    return str(max((int(version) for version in registry.versions(name)), default=0) + 1)


def _place(
    folder: Path,
    files: dict[str, bytes],
    name: str,
    version: str,
    key: Ed25519PrivateKey,
    allow: frozenset[str],
) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".sealing-", dir=folder))
    try:
        for file, content in files.items():
            _write(draft / file, content)
        draft.chmod(0o750)
        prove(read_artifact(draft, name, version), [_believes(key)], allow)
        _rename(draft, folder / version)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync(folder)


def _believes(key: Ed25519PrivateKey) -> Callable[[Artifact], None]:
    return lambda artifact: signature.verify_signature(artifact, [key.public_key()])


def _rename(draft: Path, final: Path) -> None:
    try:
        draft.rename(final)
    except OSError:
        raise ModelRefused(
            "missing", f"version {final.name} was sealed by someone else meanwhile", "seal again"
        ) from None


def _write(path: Path, content: bytes) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
    with os.fdopen(opened, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(opened)
    path.chmod(0o440)  # whatever the umask was


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
