"""The instance folder: everything that differs between machines, with owner and mode.

Secrets that others can read are no secrets: the start refuses them, and the message
holds the command that mends it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from secureml.config_error import ConfigError


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that lives in the instance folder; ``secret`` ones are closed to others."""

    path: str
    mode: int
    what: str
    secret: bool = False


ROOT = Entry(".", 0o750, "the whole instance")

FOLDERS = (
    Entry("keys", 0o700, "private keys and tokens", secret=True),
    Entry("keys/signing", 0o700, "the keys that sign tokens", secret=True),
    Entry("models", 0o750, "sealed models, a folder for each version"),
    Entry("model_integrity", 0o750, "public keys of trusted model signers"),
    Entry("tls", 0o700, "development certificate authority and server certificate", secret=True),
    Entry("logs", 0o750, "logs"),
    Entry("run", 0o750, "sockets while the server runs"),
    Entry("run/metrics", 0o750, "counters of the workers"),
    Entry("nginx", 0o750, "files that `secureml serve` writes for Nginx"),
)

STORE_FOLDER = "store"  # made for production alone: there the service writes little else

FILES = (
    Entry("secureml.toml", 0o640, "settings"),
    Entry("secureml.db", 0o600, "the store: clients and digests of their keys", secret=True),
    Entry(STORE_FOLDER, 0o700, "the store: clients and digests of their keys", secret=True),
    Entry(
        f"{STORE_FOLDER}/secureml.db",
        0o600,
        ("the store: clients and digests of their keys"),
        secret=True,
    ),
    Entry("counters.db", 0o600, "counters of rate limits", secret=True),
    Entry("budgets.db", 0o600, "budgets of clients", secret=True),
    Entry("keys/model-signing.key", 0o600, "the key that signs models", secret=True),
    Entry("keys/edge-token", 0o600, "the edge token, by which Nginx is recognised", secret=True),
    Entry("keys/audit.key", 0o600, "the key that authenticates audit records", secret=True),
    Entry("keys/audit-checkpoint.key", 0o600, "the key that signs checkpoints", secret=True),
    Entry("model_integrity/signing.pem", 0o640, ("the public key for the key that signs models")),
)


def make_folders(instance: Path) -> list[str]:
    """Make the folders that are missing, with their modes; return what was made."""
    made = []
    if not instance.exists():
        instance.mkdir(mode=ROOT.mode, parents=True)
        instance.chmod(ROOT.mode)  # mkdir is subject to the umask
        made.append(str(instance))
    for entry in FOLDERS:
        folder = instance / entry.path
        if not folder.exists():
            folder.mkdir(mode=entry.mode)
            folder.chmod(entry.mode)
            made.append(entry.path)
    return made


def write_new(path: Path, content: bytes, mode: int) -> bool:
    """Write a file that is not there yet, never readable beyond ``mode``; tell whether it was."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(content)
    return True


def check_modes(instance: Path) -> None:
    """Raise ConfigError when a secret is open to others or settings are theirs to write."""
    for entry in (ROOT, *FOLDERS, *FILES):
        path = instance / entry.path
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(
                f"cannot be inspected ({type(error).__name__})",
                file=str(path),
                fix="check its path, owner and mode",
            ) from None
        mode = stat.S_IMODE(found.st_mode)
        if entry.secret and mode & 0o077:
            raise _too_open(path, entry, mode)
        if mode & 0o002:
            raise _too_open(path, entry, mode)


def _too_open(path: Path, entry: Entry, mode: int) -> ConfigError:
    return ConfigError(
        f"mode {mode:04o} lets others in ({entry.what})",
        file=str(path),
        fix=f"chmod {entry.mode:o} {path}",
    )
