"""Secrets by reference: a settings file names where a secret is, never the secret itself.

A ``Secret`` does not print, pickle or compare by accident. A file that others can read is
refused, because what others can read is no secret.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from secureml.config_error import ConfigError

MAX_BYTES = 64 * 1024  # more is no secret, but the wrong file


class Secret:
    """Bytes that do not show themselves; ``reveal`` is the one way to see them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes; call it where they are used and keep the result nowhere."""
        return self._value

    def matches(self, offered: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._value, offered)

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash in a dict would outlive its use

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is to be had: ``read`` gives what it is now, so rotation needs no restart."""

    reference: str

    def read(self, base: Path) -> Secret:
        """Return the secret; relative files are under ``base``. Raises ConfigError."""
        scheme, _, place = self.reference.partition(":")
        reader = _READERS.get(scheme)
        if reader is None or not place:
            raise literal_refused()
        return Secret(reader(place, base))


def literal_refused() -> ConfigError:
    """Return the refusal of a secret written out; it does not repeat what was written."""
    known = " or ".join(f"{scheme}:..." for scheme in _READERS)
    return ConfigError(
        "a secret is named by reference, never written into a settings file", fix=f"write {known}"
    )


def is_reference(text: str) -> bool:
    """Tell whether a text names a place for a secret."""
    scheme, _, place = text.partition(":")
    return scheme in _READERS and bool(place)


def _from_environment(name: str, base: Path) -> bytes:
    # As bytes: what is no UTF-8 is a secret as well.
    value = os.environb.get(os.fsencode(name), b"")
    if not value:
        raise ConfigError(
            f"the environment variable {name} is not set",
            fix=f"export {name}, or name a file with file:path",
        )
    return value


def _from_file(place: str, base: Path) -> bytes:
    path = base / place
    try:
        # Not blocking, so that a pipe is refused rather than waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            # What is checked is what is read: the same handle, not the same name.
            _check(os.fstat(handle), path)
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the secret file cannot be read ({type(error).__name__})",
            file=str(path),
            fix="check its place, owner and mode",
        ) from None
    secret = content.rstrip(b"\r\n")
    if not secret:
        raise ConfigError("the secret file is empty", file=str(path), fix="write the secret to it")
    if len(content) > MAX_BYTES:
        raise ConfigError(
            "the secret file is larger than 64 KiB", file=str(path), fix="name the right file"
        )
    return secret


def _check(found: os.stat_result, path: Path) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(
            "the secret is not a regular file", file=str(path), fix="put it into a file of its own"
        )
    if mode & 0o077:
        raise ConfigError(
            f"mode {mode:04o} lets others read this secret", file=str(path), fix=f"chmod 600 {path}"
        )
    if found.st_uid not in _believed(path):
        raise ConfigError(
            "the secret file belongs to someone else",
            file=str(path),
            fix="chown the file to the user that runs the server",
        )


def _believed(path: Path) -> set[int]:
    """Return who may own a secret: we, root, and for root whoever owns the folder it lies in."""
    owners = {os.geteuid(), 0}
    if os.geteuid() == 0:
        # On a server root's commands meet the secrets of the service's user. Who owns the
        # folder decides what lies in it, so asking for more would protect nothing.
        owners.add(path.parent.stat().st_uid)
    return owners


_READERS: dict[str, Callable[[str, Path], bytes]] = {
    "env": _from_environment,
    "file": _from_file,
}
