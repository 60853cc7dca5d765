"""Where the file of a SQLite store must lie: it is there, and it is this instance's own.

A store that is missing is never made in passing: an empty one knows of no client, no key and no
revocation. Only ``secureml init`` makes one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import sqlalchemy as sa

from secureml.config_error import ConfigError, did_you_mean

STORE_FILE = "secureml.db"  # where [store] url says nothing
SETTINGS = "secureml.toml"  # what makes a folder an instance folder


def url_of(written: str, instance: Path) -> str:
    """Return the URL with the place of a SQLite file made whole.

    A relative one is in the instance folder, wherever a command is typed: so a copy of the folder
    uses the copy of the store.
    """
    url = sa.make_url(written) if written else sa.URL.create("sqlite", database=STORE_FILE)
    if url.get_backend_name() != "sqlite":
        return written
    # Not pasted together: a folder's name may hold what means something in a URL.
    place = os.path.normpath(instance / (url.database or ""))
    return url.set(database=place).render_as_string(hide_password=False)


def check(store: Path, instance: Path, settings_file: str) -> None:
    """Raise ConfigError where the file is missing or empty, or lies in another instance's folder.

    ``store`` and ``instance`` are absolute; ``settings_file`` is for the message.
    """
    check_own(store, instance, settings_file)
    fault = _fault(store)
    if not fault:
        return
    raise ConfigError(
        f"there is no store: {fault}",
        file=settings_file,
        table="store",
        key="url",
        fix=f"{did_you_mean(*_beside(store))}correct the path, put the store back (for instance "
        "with `secureml restore`), or make a new, empty one with `secureml init`",
    )


def check_own(store: Path, instance: Path, settings_file: str) -> None:
    """Raise ConfigError where the file lies in another instance's folder."""
    other = other_instance(store, instance)
    if other is not None:
        raise ConfigError(
            f"the store is {store}, which is in another instance folder ({other})",
            file=settings_file,
            table="store",
            key="url",
            fix=f'url = "sqlite:///{store.relative_to(other)}", in this instance folder',
        )


def warning(store: Path, instance: Path) -> str | None:
    """Return what to say of a store outside the instance folder, or None."""
    if store.is_relative_to(instance):
        return None
    return (
        f"[store] url names {store}, outside the instance folder: a copy of this instance in "
        f"another folder would use the same store; fix: move the store into the folder and write "
        f'url = "sqlite:///store/{store.name}"'
    )


def other_instance(path: Path, instance: Path) -> Path | None:
    """Return the other instance folder in which a path lies, or None.

    What lies in the instance folder is its own, also where that folder lies in another.
    """
    if path.is_relative_to(instance):
        return None
    return next((above for above in path.parents if (above / SETTINGS).is_file()), None)


def _fault(store: Path) -> str:
    try:
        found = store.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _what_is_missing(store)
    except OSError as error:
        return f"{store} cannot be inspected ({type(error).__name__})"
    if not stat.S_ISREG(found.st_mode):
        return f"{store} is not a file"
    # SQLite would take an empty file for a new database.
    return "" if found.st_size else f"{store} is empty"


def _what_is_missing(store: Path) -> str:
    folder = next(above for above in store.parents if above.is_dir())
    if folder != store.parent:
        return f"{store} is missing, and so is the folder {folder / _next(store, folder)}"
    return f"{store} is missing"


def _next(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]


def _beside(store: Path) -> tuple[str, list[str]]:
    """Return the part of the path that is not there, and what lies where it was looked for."""
    folder = next(above for above in store.parents if above.is_dir())
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if _could_be(entry))
    except OSError:
        names = []
    wanted = _next(store, folder)
    return wanted, [name for name in names if name != wanted]


def _could_be(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() or entry.name.endswith(".db")
