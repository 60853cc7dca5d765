"""Which plugin owns which file of the instance folder, by its declarations; none has two owners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import NamedTuple

from secureml import layout
from secureml.config_error import ConfigError
from secureml.kit.instance_file import InstanceFile
from secureml.pipeline.plugin import Plugin

_CORE = (layout.ROOT, *layout.FOLDERS, *layout.FILES)


class Claim(NamedTuple):
    """A path of the instance folder, and the name of the plugin that owns it."""

    plugin: str
    file: InstanceFile


def claims(classes: Sequence[type[Plugin]]) -> list[Claim]:
    """Return what plugins declare, each folder before what is in it.

    Raises ConfigError for a path that the core or another plugin owns, and for one in a folder
    that has no owner.
    """
    found = [Claim(cls.name, file) for cls in classes for file in cls.instance_files]
    found.sort(key=lambda claim: PurePosixPath(claim.file.path).parts)
    for claim in found:
        _check_core(claim)
        _check_parent(claim, found)
    for first, second in combinations(found, 2):
        _check_pair(first, second)
    return found


def files(classes: Sequence[type[Plugin]]) -> list[InstanceFile]:
    """Return the same without the names."""
    return [claim.file for claim in claims(classes)]


def _check_core(claim: Claim) -> None:
    path = claim.file.path
    for own in _CORE:
        if path == own.path or (own.path not in layout.SHARED and _is_below(claim.file, own)):
            raise _refused(
                claim,
                f"{path!r} belongs to the core ({own.what})",
                "declare a path of the plugin, such as "
                f"{claim.plugin + '/' + PurePosixPath(path).name!r}",
            )
        if claim.file.backup and own.path in layout.MADE_ANEW and _is_below(claim.file, own):
            raise _refused(
                claim,
                f"{path!r} is in {own.path + '/'!r}, which is made anew at each start, and would "
                "be in no backup",
                "declare it with backup=False, or in another folder",
            )


def _is_below(file: InstanceFile, folder: InstanceFile) -> bool:
    # Everything is in the root, and that is no fault.
    return folder is not layout.ROOT and file.is_within(folder)


def _check_parent(claim: Claim, found: Sequence[Claim]) -> None:
    """Refuse a path in a folder that has neither owner nor mode."""
    parent = str(PurePosixPath(claim.file.path).parent)
    known = {each.file.path for each in found if each.file.folder}
    if parent != "." and parent not in known | layout.SHARED:
        raise _refused(
            claim,
            f"{claim.file.path!r} is in a folder that no plugin declares",
            f"declare {parent!r} too, with folder=True",
        )


def _check_pair(first: Claim, second: Claim) -> None:
    path, folder = second.file.path, first.file
    if path == folder.path:
        names = (
            f"{first.plugin} and {second.plugin} both declare"
            if first.plugin != second.plugin
            else f"{first.plugin} declares twice"
        )
        raise _refused(second, f"{names} {path!r}", "give each file one owner")
    if first.plugin != second.plugin and second.file.is_within(folder):
        raise _refused(
            second,
            f"{second.plugin} declares {path!r}, which is in {folder.path!r}, a folder of "
            f"{first.plugin}",
            "give each plugin a folder of its own",
        )
    if first.plugin == second.plugin and not folder.backup and second.file.backup:
        _check_backup(second, folder)


def _check_backup(claim: Claim, folder: InstanceFile) -> None:
    if claim.file.is_within(folder):
        raise _refused(
            claim,
            f"{claim.file.path!r} is in {folder.path!r}, which no backup holds",
            "declare it with backup=False, or in another folder",
        )


def _refused(claim: Claim, what: str, fix: str) -> ConfigError:
    return ConfigError(
        what, table="secureml", key="plugins", fix=f"in {claim.plugin}.instance_files: {fix}"
    )


def left_out(claimed: Sequence[InstanceFile]) -> Iterator[str]:
    """Yield the paths that no backup holds: the core's, and those of these plugins."""
    yield from layout.MADE_ANEW
    yield from (file.path for file in claimed if not file.backup)
