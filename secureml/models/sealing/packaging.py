"""Sealing: a joblib file becomes a version that proves itself at every load.

The estimator is loaded under the allowlist, its card is learned, both are signed, and the
new folder takes its place only after it has passed the very checks the start makes. Whatever
fails leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import (
    CARD_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    Artifact,
    ModelRefused,
    read_artifact,
    read_model_file,
)
from secureml.models.card import Card
from secureml.models.card_section import Options, Sections
from secureml.models.sealing.build_card import Learned, learn_model
from secureml.models.serving.registry import Registry, check_name
from secureml.models.serving.verification import Verifier, prove
from secureml.models.unpickling.advice import check_requested
from secureml.models.unpickling.allowlist import allowed_names, builtin_names, never
from secureml.models.unpickling.decompression import unpack
from secureml.models.unpickling.reader import load_recorded
from secureml.models.unpickling.requested_names import requested


@dataclass(frozen=True)
class Sealed:
    """What sealing made."""

    name: str
    version: str
    folder: Path
    card: Card
    notes: tuple[str, ...]  # what whoever seals should know, each one line
    undo: Callable[[], None]  # have everything as it was before


@dataclass(frozen=True)
class Order:
    """What to seal: a model file, its name, and what is known of its table.

    ``dtypes`` is what is said of columns, by name; ``options`` what is given to the card
    sections of plugins; ``use`` has the version serve from the next start, as the first version of
    a name does anyway.
    """

    model_path: Path
    name: str
    data: Path | None = None
    target: str | None = None
    dtypes: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    use: bool = False


@dataclass(frozen=True)
class SealTarget:
    """Where it is sealed, and what the start that will load it demands.

    ``allow`` and ``verifiers`` are that start's own, ``settings_file`` is where its list stands;
    ``sections`` are what plugins add to the card.
    """

    root: Path
    key: Ed25519PrivateKey
    now: Callable[[], float]
    allow: frozenset[str] = frozenset()
    verifiers: Sequence[Verifier] = ()
    sections: Sections = field(default_factory=dict)
    settings_file: str = ""


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
    sections: Sections = MappingProxyType({}),
) -> Sealed:
    """Make a model file the next version of a name; raises ModelRefused and leaves nothing."""
    order = Order(model_path, name, data, target)
    return seal_as(order, SealTarget(root, key, now, allow, sections=sections))


def seal_as(order: Order, target: SealTarget) -> Sealed:
    """Make a model file the next version of a name, or leave everything as it was.

    Raises ModelRefused, or OSError where the folder cannot be written.
    """
    name, folder = order.name, target.root / check_name(order.name)
    registry = Registry(target.root)
    version = registry.next_version(name)
    draft = Artifact(name, version, read_model_file(order.model_path), b"", None)
    learned = _learn(draft, order, target)
    card_bytes = learned.card.to_json()
    files = {
        MODEL_FILE: draft.model_bytes,
        CARD_FILE: card_bytes,
        SIGNATURE_FILE: signature.sign(draft.model_bytes, card_bytes, target.key),
    }
    made_folder = not folder.exists()
    pointers = registry.pointers(name)
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def leave() -> None:
        if made_folder:
            with contextlib.suppress(OSError):  # somebody else sealed into it meanwhile
                folder.rmdir()

    def undo() -> None:
        registry.restore_current(name, pointers)
        registry.undo(name, version)
        leave()

    try:
        _publish(folder, files, draft, target)
    except BaseException:
        leave()
        raise
    try:
        if order.use or pointers["current"] is None:
            registry.point(name, version, registry.pointed(name))
    except BaseException:
        undo()
        raise
    return Sealed(name, version, folder / version, learned.card, learned.notes, undo)


def _learn(draft: Artifact, order: Order, target: SealTarget) -> Learned:
    estimator, names = _load(draft, target.allow, target.settings_file)
    created = datetime.fromtimestamp(target.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        return learn_model(
            draft,
            estimator,
            names,
            data=order.data,
            target=order.target,
            created=created,
            sections=target.sections,
            options=order.options,
            dtypes=order.dtypes,
        )
    except ModelRefused:
        raise
    except Exception as error:
        # What a model, NumPy or pandas does with a table is theirs to raise, and ours to tell.
        raise ModelRefused(
            "card",
            f"{type(error).__name__} was raised while the model and its table were looked at "
            f"({error})",
            "see whether model.predict(pandas.read_csv(table)) works in Python on this machine; "
            "if it does, this is a fault of SecureML: please report it",
        ) from error


def _load(draft: Artifact, allow: frozenset[str], settings_file: str) -> tuple[Any, frozenset[str]]:
    """Load the estimator, once everything it asks for is known to be allowed."""
    known = builtin_names() | frozenset(name for name in allow if not never(name))
    names_requested = requested(unpack(draft.model_bytes), len(draft.model_bytes))
    check_requested(names_requested, known, known & allow, settings_file)
    return load_recorded(draft.model_bytes, allowed_names(allow))


def _publish(folder: Path, files: dict[str, bytes], made: Artifact, target: SealTarget) -> None:
    """Prove a version as the start will, and only then give it its place."""
    draft = Path(tempfile.mkdtemp(prefix=".sealing-", dir=folder))
    try:
        for file, content in files.items():
            _write(draft / file, content)
        draft.chmod(0o750)
        artifact = read_artifact(draft, made.name, made.version)
        verifiers = [_believes(target.key), *target.verifiers]
        prove(artifact, verifiers, target.allow, target.sections)
        _rename(draft, folder / made.version)
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
