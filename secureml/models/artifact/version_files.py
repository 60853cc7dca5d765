"""A sealed model as it lies on disk, read exactly once.

Whoever judges a model (digest, signature, allowlist) and whoever loads it work on the same
bytes in memory: no file is opened a second time, so none can be exchanged in between.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MODEL_FILE, CARD_FILE, SIGNATURE_FILE = "model.data", "card.json", "signature.json"
MODEL_LIMIT = 2 * 1024**3
CARD_LIMIT = 16 * 1024**2
SIGNATURE_LIMIT = 4096
_MESSAGE_LIMIT, _FIX_LIMIT = 900, 1800


class ModelRefused(Exception):
    """A model that must not answer: the check it failed, why, and what to do about it.

    ``check`` is one of missing, format, signature, card, digest, versions, globals, golden,
    answers, confinement, provenance.
    """

    def __init__(self, check: str, message: str, fix: str, *, model: str = "") -> None:
        super().__init__(check, message, fix)
        self.check, self.message, self.fix, self.model = check, message, fix, model

    def of(self, name: str, version: str) -> ModelRefused:
        """Return the same refusal, saying which model it is about."""
        return ModelRefused(self.check, self.message, self.fix, model=f"{name} version {version}")

    def __str__(self) -> str:
        subject = f"model {self.model}: " if self.model else ""
        # Each cut by itself: a long message must not take the way out with it.
        line = f"{one_line(self.check)}: {one_line(self.message)}"
        return f"{one_line(subject)}{line}; fix: {one_line(self.fix, _FIX_LIMIT)}"


def one_line(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """Return a text that may be anybody's as one line of printable characters, cut at a limit."""
    # A pickle chooses the names it asks for; they must not forge a second log line.
    plain = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text[: limit + 1]
    )
    return plain if len(plain) <= limit else plain[:limit] + "..."


@dataclass(frozen=True)
class Artifact:
    """The bytes of one version of one model; nothing in them has been interpreted yet."""

    name: str
    version: str
    model_bytes: bytes
    card_bytes: bytes
    signature_bytes: bytes | None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model file, in hex."""
        return hashlib.sha256(self.model_bytes).hexdigest()


def read_artifact(folder: Path, name: str, version: str) -> Artifact:
    """Read a version folder's files, each once; raises ModelRefused("missing" or "format")."""
    try:
        # Not through a link: the folder that was approved is the folder that is read.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _missing(folder.name, error) from None
    try:
        model = _read(handle, MODEL_FILE, MODEL_LIMIT)
        card = _read(handle, CARD_FILE, CARD_LIMIT)
        try:
            signature = _read(handle, SIGNATURE_FILE, SIGNATURE_LIMIT)
        except FileNotFoundError:
            signature = None
    except FileNotFoundError as error:
        raise _missing(str(error.filename), error) from None
    finally:
        os.close(handle)
    return Artifact(name, version, model, card, signature)


def open_model_file(path: Path) -> int:
    """Return a model file that is not sealed yet, open for reading; raises ModelRefused."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _missing(path.name, error) from None
    return opened_model_file(opened, path.name)


def opened_model_file(opened: int, name: str) -> int:
    """Return an open model file that is not sealed yet, or close it and raise ModelRefused."""
    try:
        _check_file(opened, name, MODEL_LIMIT)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _read(folder: int, name: str, limit: int) -> bytes:
    # O_NONBLOCK: opening a fifo planted in place of the model must not hang the start.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        opened = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _missing(name, error) from None
    return _contents(opened, name, limit)


def _contents(opened: int, name: str, limit: int) -> bytes:
    try:
        _check_file(opened, name, limit)  # a folder cannot even be made a file of
    except BaseException:
        os.close(opened)
        raise
    with os.fdopen(opened, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _too_large(name, limit)
    return content


def _check_file(opened: int, name: str, limit: int) -> None:
    facts = os.fstat(opened)
    if not stat.S_ISREG(facts.st_mode):
        raise ModelRefused("missing", f"{name} is not a regular file", "seal the model again")
    if facts.st_size > limit:
        raise _too_large(name, limit)


def _too_large(name: str, limit: int) -> ModelRefused:
    return ModelRefused(
        "format",
        f"{name} is larger than {limit} bytes",
        "seal a smaller model, or compress it with joblib.dump(compress=3)",
    )


def _missing(name: str, error: OSError) -> ModelRefused:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return ModelRefused(
        "missing",
        f"{name} cannot be read ({reason.lower()})",
        "seal the model again; links in place of files are not followed",
    )
