"""Every file and folder that a setting makes us write, held against all the others.

A log that is written into the store's file destroys it; one among the models is a version that
fails. So fields say that what they name is written (``writes``), the core and plugins declare
what is theirs wherever settings lead (`InstanceFile`), and two that would meet stop the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from secureml import layout, store_location
from secureml.config_error import ConfigError
from secureml.pipeline import file_claims
from secureml.state.fields import DATABASE, Writes

if TYPE_CHECKING:
    from secureml.pipeline.loader import LoadedPlugin
    from secureml.settings import Settings

# What the core holds that no setting moves. In `logs`, `run` and the folder of the store settings
# may name files.
_OURS = (layout.SETTINGS, "keys", "tls", "nginx")
_SOCKETS = ("run/gunicorn.sock", "run/http.sock", "run/status.sock")


class Written(NamedTuple):
    """One place that is written: where, how, and which setting says so (none: we always do)."""

    path: Path
    writes: Writes
    table: str = ""
    key: str = ""
    owner: str = "the instance"  # or the plugin

    @property
    def name(self) -> str:
        """The setting, or the place where it is always the same."""
        if self.table:
            return f"[{self.table}] {self.key}"
        return f"{self.path.name!r} of {self.owner}"

    def files(self) -> list[Path]:
        """Return the place as the system sees it, and what is made beside it."""
        real = Path(os.path.realpath(self.path))
        return [real, *(real.with_name(real.name + end) for end in self.writes.beside)]


def check(settings: Settings, plugins: Sequence[LoadedPlugin]) -> None:
    """Raise ConfigError where two places that are written meet, or one is another instance's.

    And where others can open a file that a setting names and that should be a secret.
    """
    found = [*_core(settings), *_owned(settings, plugins), *_of_plugins(settings, plugins)]
    for each in found:
        other = store_location.other_instance(each.path, settings.instance)
        if other is not None:
            raise _refused(each, settings, (f"{each.path} is in another instance folder ({other})"))
    for first, second in combinations(found, 2):
        if not first.table and not second.table:
            continue  # declarations are compared by `file_claims`
        said, meets = (second, first) if second.table else (first, second)
        if _meet(first, second) and not _is_in_own_folder(said, meets):
            raise _refused(
                said, settings, f"{said.path} would be written over or into {meets.name}"
            )
    for each in found:
        if each.table and each.table != "server":  # a socket is open to the proxy
            layout.check_mode(each.path, each.name, each.writes.mode)


def _core(settings: Settings) -> Iterator[Written]:
    instance, file, folder = settings.instance, Writes(), Writes(folder=True)
    for name in _OURS:
        yield Written(instance / name, file if name == layout.SETTINGS else folder)
    for name in _SOCKETS:
        if settings.bind != f"unix:{instance / name}" or name != _SOCKETS[0]:
            yield Written(instance / name, file)
    if settings.store_file is not None:
        yield Written(settings.store_file, DATABASE, "store", "url")
    yield Written(settings.models_folder, folder, "models", "folder")
    if settings.bind.startswith("unix:"):
        yield Written(Path(settings.bind.removeprefix("unix:")), file, "server", "bind")


def _owned(settings: Settings, plugins: Sequence[LoadedPlugin]) -> Iterator[Written]:
    for name, file in file_claims.claims([type(loaded.plugin) for loaded in plugins]):
        how = Writes(folder=file.folder, mode=file.mode)
        yield Written(settings.instance / file.path, how, owner=name)


def _of_plugins(settings: Settings, plugins: Sequence[LoadedPlugin]) -> Iterator[Written]:
    for loaded in plugins:
        for key, path, writes in loaded.written:
            place = settings.instance / path
            yield Written(place, writes, f"plugins.{loaded.name}", key, loaded.name)


def _meet(first: Written, second: Written) -> bool:
    ones, others = first.files(), second.files()
    for one in ones:
        for other in others:
            if one == other or other in one.parents or one in other.parents:
                return True
    # Two names of one file: a hard link is no path that could be seen.
    return _same_file(ones[0], others[0])


def _is_in_own_folder(said: Written, meets: Written) -> bool:
    """Tell whether a setting names a file in a folder that its plugin declares."""
    if meets.table or meets.owner != said.owner or not meets.writes.folder:
        return False
    return meets.files()[0] in said.files()[0].parents


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False  # one of them is not there yet


def _refused(each: Written, settings: Settings, what: str) -> ConfigError:
    return ConfigError(
        what,
        file=settings.file,
        table=each.table,
        key=each.key,
        fix="use a path that nothing else uses, such as a separate file in logs/",
    )
