"""The instance folder: everything that differs between machines, with owner and mode.

Secrets that others can read are no secrets: the start refuses them, and the message
holds the command that mends it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from secureml.config_error import ConfigError
from secureml.kit.instance_file import InstanceFile

ROOT = InstanceFile(".", "the whole instance", 0o750, folder=True)

SETTINGS = "secureml.toml"
SEALING_KEY = "keys/model-signing.key"
STORE_FOLDER = "store"  # made for production alone: there the service writes little else
_STORE = "the store: clients, digests of their keys, public signing keys and families of tokens"

# What belongs to the core; what belongs to a plugin is declared by the plugin.
FOLDERS = (
    InstanceFile("keys", "private keys and tokens", 0o700, folder=True),
    InstanceFile("keys/signing", "the keys that sign tokens", 0o700, folder=True),
    InstanceFile("models", "sealed models, a folder for each version", 0o750, folder=True),
    InstanceFile(
        "tls", "development certificate authority and server certificate", 0o700, folder=True
    ),
    InstanceFile("logs", "logs", 0o750, folder=True, service_writes=True),
    InstanceFile("run", "sockets while the server runs", 0o750, folder=True, backup=False),
    InstanceFile(
        "nginx", "files that `secureml serve` writes for Nginx", 0o750, folder=True, backup=False
    ),
)
FILES = (
    InstanceFile(SETTINGS, "settings", 0o640),
    InstanceFile("secureml.db", _STORE, service_writes=True),
    InstanceFile(STORE_FOLDER, _STORE, 0o700, folder=True, service_writes=True),
    InstanceFile(f"{STORE_FOLDER}/secureml.db", _STORE, service_writes=True),
    InstanceFile(SEALING_KEY, "the key that signs models"),
)
# In these folders plugins may have files too; in the others the core is alone.
SHARED = frozenset({"keys", "tls", "logs", "run", STORE_FOLDER})
# What is in these is made anew at each start, by other programs too.
MADE_ANEW = tuple(folder.path for folder in FOLDERS if not folder.backup)


def make_folders(instance: Path, folders: Iterable[InstanceFile] = FOLDERS) -> list[str]:
    """Make the folders that are missing, with their modes; return what was made."""
    made = []
    if not instance.exists():
        instance.mkdir(mode=ROOT.mode, parents=True)
        instance.chmod(ROOT.mode)  # mkdir is subject to the umask
        made.append(str(instance))
    for entry in folders:
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


def check_modes(instance: Path, files: Iterable[InstanceFile] = (ROOT, *FOLDERS, *FILES)) -> None:
    """Raise ConfigError when a secret is open to others, or anything is theirs to write."""
    for entry in files:
        check_mode(instance / entry.path, entry.what, entry.mode)


def check_mode(path: Path, what: str, intended: int) -> None:
    """Raise ConfigError when a path that should have this mode lets others in.

    One that is missing is no fault. A mode without rights for others is that of a secret.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            f"cannot be inspected ({type(error).__name__})",
            file=str(path),
            fix="check its path, owner and mode",
        ) from None
    refused = 0o002 if intended & 0o077 else 0o077
    if mode & refused:
        raise ConfigError(
            f"mode {mode:04o} lets others in ({what})",
            file=str(path),
            fix=f"chmod {intended:o} {path}",
        )
