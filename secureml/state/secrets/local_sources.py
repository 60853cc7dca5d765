"""Secrets of this machine: ``env:NAME``, ``file:path`` and ``systemd:NAME``.

A file that others can read is refused, because what others can read is no secret. What is
checked and what is read is one open file, so it cannot be replaced in between.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from secureml.config_error import ConfigError
from secureml.state.secrets.value import Reading, Secret

SCHEMES = ("env", "file", "systemd")
LARGEST = 64 * 1024  # a secret is short; a larger file is another file, named by mistake
# What systemd accepts for a credential, less the slash: the name never leaves its folder.
_CREDENTIAL = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9@_.:-]{1,255}")

Mark = tuple[int, ...]


def read(scheme: str, place: str, base: Path) -> Reading:
    """Return the secret as it is now; relative files are under ``base``. Raises ConfigError."""
    path = path_of(scheme, place, base)
    return _from_environment(place) if path is None else read_file(path, scheme)[0]


def path_of(scheme: str, place: str, base: Path) -> Path | None:
    """Return the file behind a reference, None for a variable of the environment."""
    if scheme == "env":
        return None
    return base / place if scheme == "file" else _credential(place)


def mark_of(found: os.stat_result) -> Mark:
    """Return what changes with a file's content; the change time cannot be set back (`cp -p`)."""
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read_file(path: Path, scheme: str = "file") -> tuple[Reading, Mark | None]:
    """Return the secret in a file and its mark; no mark where someone was writing meanwhile."""
    try:
        # A pipe somebody left at this name must not hold up the start.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            _check(found, path, scheme)
            content = file.read(LARGEST + 1)
            mark = mark_of(found)
            unchanged = mark == mark_of(os.fstat(handle))
    except OSError as error:
        raise ConfigError(
            f"the secret file cannot be read ({type(error).__name__})",
            file=str(path),
            fix="check its path, owner and mode",
        ) from None
    return Reading(_secret(content, path), found.st_mtime), mark if unchanged else None


def _check(found: os.stat_result, path: Path, scheme: str) -> None:
    mode = stat.S_IMODE(found.st_mode)
    # Where systemd gives a credential to a user by ACL, the mask shows as the group's right.
    others = 0o007 if scheme == "systemd" else 0o077
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(
            "the secret is not a regular file", file=str(path), fix="put it into a regular file"
        )
    if mode & others:
        raise ConfigError(
            f"mode {mode:04o} lets other users read this secret",
            file=str(path),
            fix=f"chmod 600 {path}",
        )
    if found.st_uid not in _is_trusted(path):
        raise ConfigError(
            "the secret file belongs to another user",
            file=str(path),
            fix="chown it to the user that runs the server",
        )


def _is_trusted(path: Path) -> set[int]:
    """Return who may own a secret: we, root, and for root the owner of its folder."""
    owners = {os.geteuid(), 0}
    if os.geteuid() == 0:
        # On a server root's commands meet the secrets of the service's user. Who owns the
        # folder decides what lies in it, so asking for more would protect nothing.
        owners.add(path.parent.stat().st_uid)
    return owners


def _secret(content: bytes, path: Path) -> Secret:
    secret = content.rstrip(b"\r\n")
    if not secret:
        raise ConfigError(
            "the secret file is empty", file=str(path), fix="write the secret into it"
        )
    if len(content) > LARGEST:
        raise ConfigError(
            "the secret file is larger than 64 KiB", file=str(path), fix="check the path"
        )
    return Secret(secret)


def _from_environment(name: str) -> Reading:
    # As bytes: what is no UTF-8 is a secret as well.
    value = os.environb.get(os.fsencode(name), b"")
    if not value:
        raise ConfigError(
            f"the environment variable {name} is not set",
            fix=f"export {name}, or use a file: file:PATH",
        )
    return Reading(Secret(value), None)


def _credential(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not _CREDENTIAL.fullmatch(name):
        raise ConfigError(
            "this is not the name of a systemd credential",
            fix="write systemd:NAME, without slashes",
        )
    if not folder:
        raise ConfigError(
            "systemd gave this process no credentials (CREDENTIALS_DIRECTORY is not set)",
            fix=f"add LoadCredential={name}:/path to the systemd unit",
        )
    return Path(folder) / name
