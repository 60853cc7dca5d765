"""Who may change trusted files: only root, the user of the service and the current user.

Settings, models, keys and code are trusted because of their path. A user who may write one of
them, or a folder above it, decides what is served; so all of that is looked at before it is
believed. In a folder with the sticky bit, such as ``/tmp``, nobody may move what is another's.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from secureml.config_error import ConfigError
from secureml.layout import MADE_ANEW


class TrustedPaths:
    """Looks at paths; ``owners`` are the user ids that may own trusted files."""

    def __init__(self, owners: Collection[int]) -> None:
        self._owners, self._seen = frozenset(owners), set[Path]()

    def check_instance(self, instance: Path) -> None:
        """Raise ConfigError unless all of the instance folder, and all above it, is safe."""
        self.check_above(instance)
        for path in _below(instance):
            self._check(path, path_above=False)
            if path.is_symlink():
                self.check_above(path.resolve())

    def check_code(self, folders: Iterable[Path]) -> None:
        """Raise ConfigError unless the Python files in these folders, and all above, are safe."""
        for folder in folders:
            self.check_above(folder / "code")
            for path in sorted(folder.glob("*.py")):
                self._check(path, path_above=True)

    def check_above(self, path: Path) -> None:
        """Raise ConfigError unless every folder above a path is safe."""
        for folder in path.parents:
            if folder in self._seen:
                return
            self._check(folder, path_above=True)
            self._seen.add(folder)

    def _check(self, path: Path, *, path_above: bool) -> None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return  # a link to nothing, or a log that was rotated away
        except OSError as error:
            raise ConfigError(
                f"cannot be inspected ({type(error).__name__})",
                file=str(path),
                fix="check its path, owner and mode",
            ) from None
        if _open_to(found, path_above=path_above):
            raise ConfigError(
                f"mode {stat.S_IMODE(found.st_mode):04o} lets other users change it, and "
                "with it what is served",
                file=str(path),
                fix=f"chmod g-w,o-w {path}",
            )
        if found.st_uid not in self._owners:
            raise ConfigError(
                f"it belongs to {_name(found.st_uid)}, which is neither root nor the user "
                "of the service",
                file=str(path),
                fix=f"chown root {path}",
            )


def _open_to(found: os.stat_result, *, path_above: bool) -> int:
    """Return the bits by which somebody else may write it."""
    bits = found.st_mode & 0o022
    if path_above and bits and found.st_mode & stat.S_ISVTX:
        return 0
    return bits & 0o002 if path_above and bits and _is_private(found) else bits


def owners(instance: Path) -> set[int]:
    """Return who may own trusted files: root, we, and for root the user of the service.

    That is who owns the keys: root's commands meet an instance whose store and keys are its.
    """
    found = {0, os.geteuid()}
    if os.geteuid() == 0:
        for path in (instance, instance / "keys"):
            if path.exists():
                found.add(path.stat().st_uid)
    return found


def _below(instance: Path) -> Iterator[Path]:
    yield instance
    for folder, folders, files in os.walk(instance):
        here = Path(folder)
        yield from (here / name for name in (*folders, *files))
        if here == instance:
            folders[:] = [name for name in folders if name not in MADE_ANEW]


def _is_private(found: os.stat_result) -> bool:
    """Tell whether the group is that of the owner alone, as Debian makes one for each user."""
    if found.st_uid == 0:
        return False
    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    others = set(group.gr_mem) - {owner.pw_name}
    return owner.pw_gid == group.gr_gid and owner.pw_name == group.gr_name and not others


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
