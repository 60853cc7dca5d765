"""Copies of instance folders: a store that is open somewhere is copied whole all the same."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

STORE = "secureml.db"


def copy_instance(source: Path, target: Path) -> Path:
    """Copy a folder with its modes, and its store through SQLite.

    The files beside a store (`-wal`, `-shm`) are gone the moment its last connection is closed,
    by whichever process: copied file by file, a store loses what stands there, or the copy fails.
    """
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(f"{STORE}*"))
    if (source / STORE).exists():
        url = (source / STORE).as_uri() + "?mode=ro"
        with (
            closing(sqlite3.connect(url, uri=True)) as kept,
            closing(sqlite3.connect(target / STORE)) as copied,
        ):
            kept.backup(copied)
        shutil.copymode(source / STORE, target / STORE)
    return target
