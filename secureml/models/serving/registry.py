"""The models that answer: names, versions, and the pointer that says which version serves.

A folder ``<root>/<name>/<version>/`` is one sealed version; ``current`` and ``previous`` are
text files beside the versions. Nothing here trusts a name: it must fit before it is a path.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from secureml.models.artifact.version_files import Artifact, ModelRefused, read_artifact
from secureml.models.card import Card
from secureml.models.card_section import Sections
from secureml.models.serving.version_pointers import remove_folder, text_of, write_pointer

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle
    from secureml.models.serving.verification import Verifier

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


class Registry:
    """Sealed models under one folder; the verifiers check an artifact before it is unpickled."""

    def __init__(
        self,
        root: Path,
        verifiers: Sequence[Verifier] = (),
        extra_allowed: frozenset[str] = frozenset(),
        sections: Sections = MappingProxyType({}),
    ) -> None:
        # Kept, not copied: the plugins that check models are built after the registry.
        self._root, self.verifiers, self.extra_allowed = root, verifiers, extra_allowed
        self.sections = sections
        self._serving: dict[str, ModelHandle] = {}
        self._refused: dict[str, ModelRefused] = {}
        self._seconds: dict[str, float] = {}

    def load_all(self) -> None:
        """Prove and load the current version of every name.

        One that is refused is kept out and told of by `refused`; the others answer. Where none is
        left of those that there are, raises ModelRefused, and what served before still serves.
        """
        serving: dict[str, ModelHandle] = {}
        refused: dict[str, ModelRefused] = {}
        for name in self.names_on_disk():
            begin = time.perf_counter()
            try:
                serving[name] = self._load(name)
            except ModelRefused as error:
                refused[name] = error
            self._seconds[name] = time.perf_counter() - begin
        if refused and not serving:
            raise next(iter(refused.values()))
        self._serving, self._refused = serving, refused

    def _load(self, name: str) -> ModelHandle:
        return self.prove(name, self._chosen(name))

    def _chosen(self, name: str) -> str:
        version = self.current(name)
        if version is None:
            fix = f"run `secureml models use {name} VERSION`"
            raise ModelRefused("missing", f"no version of {name} is chosen", fix)
        return version

    def refused(self) -> dict[str, ModelRefused]:
        """Return why each model that was refused at the start does not answer, by name."""
        return dict(self._refused)

    def is_refused(self, name: str) -> bool:
        """Tell whether a model of that name is here and was refused."""
        return name in self._refused

    def prove(self, name: str, version: str) -> ModelHandle:
        """Take one version through every check; raises ModelRefused."""
        # Here, because it imports scikit-learn: commands that load no model start without it.
        from secureml.models.serving.verification import prove

        artifact = self._artifact(name, version)
        return prove(artifact, self.verifiers, self.extra_allowed, self.sections)

    def get(self, name: str) -> ModelHandle | None:
        """Return the model that answers to a name."""
        return self._serving.get(name)

    def load_seconds(self, name: str) -> float:
        """Return how long it took to prove and load the model that answers to a name."""
        return self._seconds[name]

    def names(self) -> list[str]:
        """Return the names that answer."""
        return sorted(self._serving)

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
        """Return the version that serves (from the next reload or restart on)."""
        return self._pointer(name, "current")

    def card(self, name: str, version: str | None = None) -> Card:
        """Return the card as it lies on disk, unproved: for showing only."""
        if version is None:
            if self.current(name) is None and not self.versions(name):
                raise _no_model(name)
            version = self._chosen(name)
        return Card.from_json(self._artifact(name, version).card_bytes)

    def use(self, name: str, version: str) -> None:
        """Point to a version, once it has passed every check; raises ModelRefused."""
        self.prove(name, version)
        # A pointer that cannot be read is what `use` is there to mend.
        self.point(name, version, self.pointed(name))

    def rollback(self, name: str) -> str:
        """Point to the version that served before and return it; twice is where we were."""
        before = self.previous(name)
        self.use(name, before)
        return before

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

    def _artifact(self, name: str, version: str) -> Artifact:
        if version not in self.versions(name):
            raise _no_version(name, version)
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


def _no_model(name: str) -> ModelRefused:
    return _missing(f"there is no model {check_name(name)!r}")


def _no_version(name: str, version: str) -> ModelRefused:
    return _missing(f"{check_name(name)} has no version {version}")


def _missing(why: str) -> ModelRefused:
    return ModelRefused("missing", why, "run `secureml models list` to see what there is")
