"""Sealed versions on disk, and the pointers that say which of them serves.

A folder ``<root>/<name>/<version>/`` is one sealed version; ``current`` and ``previous`` are
text files beside the versions. Nothing here trusts a name: it must fit before it is a path.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from secureml.models.artifact.version_files import Artifact, ModelRefused, read_artifact
from secureml.models.card import Card
from secureml.models.serving.version_pointers import remove_folder, text_of, write_pointer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


Identity = tuple[int, int, int]  # device, inode and time of change of a version's folder


Stamp = tuple[int, int]  # time of change of a name's folder, and inode of its pointer


class ModelFolder:
    """The sealed models under one folder, whether they are loaded or not."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder of all models."""
        return self._root

    def names_on_disk(self) -> list[str]:
        """Return the names with at least one sealed version, loaded or not."""
        if not self._root.is_dir():
            return []
        return sorted(
            entry.name
            for entry in self._root.iterdir()
            if _NAME.fullmatch(entry.name) and self.versions(entry.name)
        )

    def versions(self, name: str) -> list[str]:
        """Return a name's versions, oldest first."""
        folder = self._folder(name)
        if not folder.is_dir() or folder.is_symlink():
            return []
        found = [
            entry.name
            for entry in folder.iterdir()
            if _VERSION.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink()
        ]
        return sorted(found, key=int)

    def current(self, name: str) -> str | None:
        """Return the version that answers clients who name none; raises ModelRefused."""
        return self._pointer(name, "current")

    def chosen(self, name: str) -> str:
        """Return the same; raises ModelRefused also where none was chosen."""
        version = self.current(name)
        if version is None:
            fix = f"run `secureml models use {name} VERSION`"
            raise ModelRefused("missing", f"no version of {name} is chosen", fix)
        return version

    def card(self, name: str, version: str | None = None) -> Card:
        """Return the card as it lies on disk, unproved: for showing only."""
        if version is None:
            if self.current(name) is None and not self.versions(name):
                raise _no_model(name)
            version = self.chosen(name)
        return Card.from_json(self.artifact(name, version).card_bytes)

    def stamps(self) -> dict[str, Stamp]:
        """Return what tells that something changed under a name: cheap enough to ask often.

        A pointer is replaced and a version renamed into its place, and either changes the time of
        the folder that it is in. Two changes may have one time; another pointer is another file.
        Raises OSError where the folder of all cannot be read.
        """
        found = {}
        with os.scandir(self._root) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with contextlib.suppress(OSError):  # removed a moment ago
                        changed = entry.stat(follow_symlinks=False).st_mtime_ns
                        found[entry.name] = changed, _inode(Path(entry.path, "current"))
        return found

    def previous(self, name: str) -> str:
        """Return the version that served before; raises ModelRefused where none did."""
        before = self._pointer(name, "previous")
        if before is None:
            if not self.versions(name):
                raise _no_model(name)
            raise ModelRefused(
                "missing",
                f"{check_name(name)} has no earlier version to go back to: none was in use before, "
                "or it was removed",
                "see its versions with `secureml models list`, and choose one with "
                f"`secureml models use {name} VERSION`",
            )
        return before

    def pointed(self, name: str) -> str | None:
        """Return the version that serves; None also where the pointer holds none."""
        try:
            return self.current(name)
        except ModelRefused:
            return None

    def point(self, name: str, version: str, before: str | None) -> None:
        """Make a version current, proved or not, and remember the one before."""
        folder = self._folder(name)
        if before == version:
            return
        if before is not None:
            write_pointer(folder / "previous", before)
        write_pointer(folder / "current", version)

    def pointers(self, name: str) -> dict[str, str | None]:
        """Return what the pointers of a name hold, for `put_back`."""
        folder = self._folder(name)
        return {file: text_of(folder / file) for file in ("current", "previous")}

    def restore_current(self, name: str, pointers: dict[str, str | None]) -> None:
        """Have the pointers hold again what they held, where that was a version."""
        for file, text in pointers.items():
            if text is not None and _VERSION.fullmatch(text):
                write_pointer(self._folder(name) / file, text)
            else:
                (self._folder(name) / file).unlink(missing_ok=True)

    def next_version(self, name: str) -> str:
        """Return the number the next version of a name gets; none is ever given twice."""
        last = text_of(self._folder(name) / "last") or "0"
        taken = [int(version) for version in self.versions(name)]
        return str(max([*taken, int(last) if _VERSION.fullmatch(last) else 0]) + 1)

    def check_removable(self, name: str, version: str | None) -> None:
        """Raise ModelRefused unless a version, or the whole name where None, may be removed."""
        found = self.versions(name)
        if version is None and found:
            return
        if version is None or version not in found:
            raise _no_version(name, version or "at all")
        if self.pointed(name) == version:
            raise ModelRefused(
                "missing",
                f"version {version} of {name} is the one that serves",
                f"choose another with `secureml models use {name} VERSION` first, or take the "
                f"whole model away with `secureml models remove {name} --all`",
            )

    def remove(self, name: str, version: str | None = None) -> None:
        """Remove a version that does not serve, or a whole name; raises ModelRefused.

        A server that runs keeps what it has loaded.
        """
        self.check_removable(name, version)
        folder = self._folder(name)
        if version is None:
            remove_folder(folder, self._root)
            return
        # Its number is not given again: rights and records name versions.
        write_pointer(folder / "last", str(int(self.next_version(name)) - 1))
        if text_of(folder / "previous") == version:
            (folder / "previous").unlink()
        remove_folder(folder / version, folder)

    def undo(self, name: str, version: str) -> None:
        """Remove a version that was only just made; its number may be given again."""
        folder = self._folder(name)
        remove_folder(folder / version, folder)

    def identity(self, name: str, version: str) -> Identity | None:
        """Return what tells a version's folder from another of the same number; None without it."""
        try:
            found = (self._folder(name) / version).lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def artifact(self, name: str, version: str) -> Artifact:
        """Return the files of a version, read and not looked at; raises ModelRefused."""
        found = self.versions(name)
        if version not in found:
            raise _no_version(name, version) if found else _no_model(name)
        try:
            return read_artifact(self._folder(name) / version, name, version)
        except ModelRefused as refused:
            raise refused.of(name, version) from None

    def _folder(self, name: str) -> Path:
        return self._root / check_name(name)

    def _pointer(self, name: str, file: str) -> str | None:
        try:
            text = (self._folder(name) / file).read_text("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            text = ""
        if not _VERSION.fullmatch(text):
            raise ModelRefused(
                "missing",
                f"the file {name}/{file} does not hold a version",
                f"run `secureml models use {name} VERSION`",
            )
        return text


def check_name(name: str) -> str:
    """Return the name, or raise ModelRefused when it could be more than a name."""
    if not _NAME.fullmatch(name):
        raise ModelRefused(
            "missing",
            f"{name!r} is not a model name",
            "use up to 64 letters, digits, hyphens and underscores",
        )
    return name


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except OSError:
        return 0


def _no_model(name: str) -> ModelRefused:
    return _missing(f"there is no model {check_name(name)!r}")


def _no_version(name: str, version: str) -> ModelRefused:
    return _missing(f"{check_name(name)} has no version {version}")


def _missing(why: str) -> ModelRefused:
    return ModelRefused("missing", why, "run `secureml models list` to see what there is")
