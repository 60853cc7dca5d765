"""Sealing: a model file becomes a version that proves itself at every load.

The file is read by a confined child alone, which writes its data form. The card is learned of
that form, here, and must be the card that the child learned of the file itself. Both are signed,
and the new folder takes its place only after it has passed the very checks the start makes.
Whatever fails leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from threadpoolctl import threadpool_limits

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import (
    CARD_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    Artifact,
    ModelRefused,
    read_artifact,
)
from secureml.models.card import Card
from secureml.models.card_section import Options, Sections, Training, learn_sections
from secureml.models.data_form import reader
from secureml.models.provenance.signed_files import SignedFiles
from secureml.models.sealing.confined_conversion import Confined, Converter, Source
from secureml.models.sealing.conversion import Conversion, Converted, check_same, learn, take
from secureml.models.sealing.labelled_table import LabelledReader
from secureml.models.sealing.mlflow_folder import open_source
from secureml.models.sealing.parquet_table import confined_columns, is_parquet
from secureml.models.sealing.table_file import TableFile
from secureml.models.serving.model_folder import check_name
from secureml.models.serving.registry import Registry
from secureml.models.serving.verification import Verifier, check_names, prove

TableReader = Callable[[str, bytes], bytes]
_MOST_ATTEMPTS = 3  # how many are told
# Returns what the card says of what the model gives away.
Assessor = Callable[[Card, Training], dict[str, Any]]


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

    ``types`` is what is said of columns, by name, ``csv`` how a CSV table is written, ``missing``
    and ``unknown`` what is said of rows (see `RowOptions`); ``options`` is what is given to the
    card sections of plugins; ``use`` has the version serve from the next start, as the first
    version of a name does anyway. ``entry`` is the key of the estimator, where the file holds a
    dictionary or a list. ``signed`` are files of which the model file must be one.
    """

    model_path: Path
    name: str
    data: Path | None = None
    target: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    use: bool = False
    csv: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    entry: str = ""
    signed: SignedFiles | None = None


@dataclass(frozen=True)
class SealTarget:
    """Where it is sealed, and what the start that will load it demands.

    ``allow`` and ``verifiers`` are that start's own, ``settings_file`` is where its list stands;
    ``sections`` are what plugins add to the card; ``convert`` reads the model file, and
    ``read_parquet`` makes typed columns of a Parquet file, given its name and contents; ``assess``
    measures what the model gives away, None leaves that out.
    """

    root: Path
    key: Ed25519PrivateKey
    now: Callable[[], float]
    allow: frozenset[str] = frozenset()
    verifiers: Sequence[Verifier] = ()
    sections: Sections = field(default_factory=dict)
    settings_file: str = ""
    convert: Converter = field(default_factory=Confined)
    read_parquet: TableReader = field(default_factory=lambda: partial(confined_columns, Confined()))
    assess: Assessor | None = None


def seal(order: Order, target: SealTarget) -> Sealed:
    """Make a model file the next version of a name, or leave everything as it was.

    Raises ModelRefused, or OSError where the folder cannot be written.
    """
    name, folder = order.name, target.root / check_name(order.name)
    registry = Registry(target.root)
    version = registry.next_version(name)
    made_folder = not folder.exists()
    pointers = registry.pointers(name)

    def leave() -> None:
        if made_folder:
            with contextlib.suppress(OSError):  # somebody else sealed into it meanwhile
                folder.rmdir()

    def undo() -> None:
        registry.restore_current(name, pointers)
        registry.undo(name, version)
        leave()

    with _given(order, target) as (model, table):
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            conversion = _conversion(order, target, version, _digest(model))
            sealed = _made(conversion, Source(model, table), order, target)
        except BaseException:
            leave()
            raise
    try:
        if order.use or pointers["current"] is None:
            registry.point(name, version, registry.pointed(name))
    except BaseException:
        undo()
        raise
    return replace(sealed, undo=undo)


@contextlib.contextmanager
def _given(order: Order, target: SealTarget) -> Iterator[tuple[int, bytes | None]]:
    """Yield the model file, open for reading, and the contents of the table."""
    table = None if order.data is None else TableFile.load(order.data).content
    if table is not None and is_parquet(table):
        table = target.read_parquet(str(order.data), table)
    model = open_source(order.model_path)
    if order.signed is not None:
        model = order.signed.copied(model)
    try:
        yield model, table
    finally:
        os.close(model)


def _digest(opened: int) -> str:
    with os.fdopen(os.dup(opened), "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)  # the child reads through the same place in the file
    return found


def source_digest(path: Path) -> str:
    """Return the SHA-256 of a model file, or of that in a folder, in hex; raises ModelRefused."""
    opened = open_source(path)
    try:
        return _digest(opened)
    finally:
        os.close(opened)


def _conversion(order: Order, target: SealTarget, version: str, digest: str) -> Conversion:
    return Conversion(
        name=order.name,
        version=version,
        created=datetime.fromtimestamp(target.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        source_digest=digest,
        table=None if order.data is None else str(order.data),
        target=order.target,
        types=order.types,
        csv=order.csv,
        missing=order.missing,
        unknown=order.unknown,
        allow=tuple(sorted(target.allow)),
        settings_file=target.settings_file,
        entry=order.entry,
    )


def _made(conversion: Conversion, source: Source, order: Order, target: SealTarget) -> Sealed:
    """Have the file converted, learn and sign the card, and publish the version."""
    final = target.root / conversion.name / conversion.version
    draft = Path(tempfile.mkdtemp(prefix=".sealing-", dir=final.parent))
    try:
        attempts = target.convert(conversion, source, draft / MODEL_FILE)
        form, said = _taken(draft / MODEL_FILE, attempts)
        card, notes = _learned(conversion, form, said, source.table, order, target)
        card_bytes = card.to_json()
        _write(draft / CARD_FILE, card_bytes)
        _write(draft / SIGNATURE_FILE, signature.sign(form, card_bytes, target.key))
        del form  # the same bytes are read from disk again
        draft.chmod(0o750)
        artifact = read_artifact(draft, conversion.name, conversion.version)
        verifiers = [_believes(target.key), *target.verifiers]
        prove(artifact, verifiers, target.allow, target.sections)
        _rename(draft, final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync(final.parent)
    told = tuple(f"while the model file was read, it was refused to {each}" for each in attempts)
    notes = (*told[:_MOST_ATTEMPTS], *notes)
    return Sealed(conversion.name, conversion.version, final, card, notes, lambda: None)


def _taken(path: Path, attempts: Sequence[str]) -> tuple[bytes, Converted]:
    """Return the data form that a conversion has written, and what it says; keep the form alone.

    ``attempts`` are what it was refused meanwhile: a refusal of the model names them.
    """
    with path.open("r+b") as result:
        try:
            said = take(result)
        except ModelRefused as refused:
            tried = "; ".join(f"it tried to {each}" for each in attempts[:_MOST_ATTEMPTS])
            message = f"{tried}; {refused.message}" if tried else refused.message
            raise ModelRefused(refused.check, message, refused.fix) from None
        result.flush()
        os.fchmod(result.fileno(), 0o440)
        os.fsync(result.fileno())
        result.seek(0)
        return result.read(), said


def _learned(
    conversion: Conversion,
    form: bytes,
    said: Converted,
    table: bytes | None,
    order: Order,
    target: SealTarget,
) -> tuple[Card, tuple[str, ...]]:
    """Learn the card of a data form, and hold it to what its conversion says."""
    names = reader.names(form)
    check_names(names, target.allow)
    estimator = reader.read(form, allowed=names)
    # One thread, as in the child: sums in another order differ in their last bits.
    with threadpool_limits(1):
        digest = hashlib.sha256(form).hexdigest()
        found = learn(conversion, estimator, names, table, digest=digest, read_again=False)
        check_same(found, said)
        training = replace(
            found.training, read_labelled=LabelledReader(found.card, estimator, order.target)
        )
        sections, notes = learn_sections(training, target.sections, order.options)
        card = replace(found.card, sections=sections)
        if target.assess is not None:
            # Last: it asks the model as the server does, and prepares it for that.
            card = replace(card, assessment=target.assess(card, training))
    return card, (*notes, *found.notes)


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
