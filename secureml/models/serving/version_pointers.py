"""The files beside a model's versions: pointers that hold one version each, replaced whole."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path


def text_of(path: Path) -> str | None:
    """Return what a pointer holds, whatever it is; None where there is none."""
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return None


def remove_folder(folder: Path, aside: Path) -> None:
    """Remove a folder; renamed into ``aside`` first, so that it is there whole or is gone."""
    gone = aside / f".removed-{secrets.token_hex(4)}"
    folder.rename(gone)
    shutil.rmtree(gone)


def write_pointer(path: Path, version: str) -> None:
    """Have a pointer hold a version; a reader finds the old one or the new."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    draft.write_text(f"{version}\n", "ascii")
    # Root writes it and the service reads it, whatever root's umask; its folder keeps others out.
    draft.chmod(0o644)
    draft.replace(path)
