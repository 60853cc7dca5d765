"""Where output goes: files that only their owner reads, made in one step, never over another."""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from secureml.scoring.refused import NotScored

_READ = (".csv", ".tsv", ".txt", ".parquet")
_PRIVATE = 0o700


class Pair(NamedTuple):
    """An input file and the file that its answers are written to."""

    source: Path
    target: Path


class Files(NamedTuple):
    """All files of a run, the folder of its journal, and files of the input that are left out."""

    pairs: tuple[Pair, ...]
    journal: Path
    left_out: tuple[str, ...]


def find_files(given: str, output: Path) -> Files:
    """Return the files of a run; raises NotScored.

    ``given`` is a file, a folder, or a pattern such as ``in/*.csv``. Of several files the output
    is a folder, which gets files of the same names.
    """
    path = Path(given)
    if path.is_dir():
        found = [each for each in sorted(path.iterdir()) if each.is_file()]
        taken = [each for each in found if each.suffix.lower() in _READ and each.name[0] != "."]
        return _into_folder(taken, output, tuple(each.name for each in found if each not in taken))
    if path.is_file():
        if output.is_dir() and not output.is_symlink():
            return _into_folder([path], output, ())
        _check_apart([Pair(path, output)])
        return Files((Pair(path, output),), output.with_name(f".{output.name}.score"), ())
    matched = [Path(each) for each in sorted(glob.glob(given))]  # noqa: PTH207 - may be absolute
    return _into_folder([each for each in matched if each.is_file()], output, ())


def _into_folder(sources: Sequence[Path], output: Path, left_out: tuple[str, ...]) -> Files:
    if not sources:
        raise NotScored(
            "there is no input file", f"name a file, or a folder with files {', '.join(_READ)}"
        )
    twice = [name for name, count in Counter(each.name for each in sources).items() if count > 1]
    if twice:
        raise NotScored(
            f"two input files have the name {twice[0]!r}, and so would two of the output",
            "score each folder by itself",
        )
    pairs = tuple(Pair(each, output / each.name) for each in sources)
    _check_apart(pairs)
    return Files(pairs, output / ".score", left_out)


def _check_apart(pairs: Sequence[Pair]) -> None:
    for source, target in pairs:
        if target.exists() and target.samefile(source):
            raise NotScored(f"{target} is the input itself", "name another file for the output")


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner reads, unless it is there; raises NotScored."""
    try:
        folder.mkdir(_PRIVATE)
    except FileExistsError:
        if folder.is_symlink() or not folder.is_dir():
            raise NotScored(f"{folder} is no folder", "name another one, or remove it") from None
    except FileNotFoundError:
        raise NotScored(f"{folder.parent} does not exist", "make it first") from None


def check_target(target: Path, *, force: bool) -> None:
    """Raise NotScored where a file may not be written."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise NotScored(f"{target.parent} does not exist", "make it first") from None
        return
    if stat.S_ISLNK(mode):
        raise NotScored(
            f"{target} is a symbolic link, and output is not written through one",
            "name the file itself",
        )
    if not stat.S_ISREG(mode):
        raise NotScored(f"{target} is no regular file", "name another file")
    if not force:
        raise _exists(target)


def _exists(target: Path) -> NotScored:
    return NotScored(f"{target} exists already", "--force to replace it, or name another file")


def publish(made: Path, target: Path, *, force: bool) -> None:
    """Have a finished file appear under its name in one step; raises NotScored."""
    check_target(target, force=force)
    with made.open("rb") as file:
        os.fsync(file.fileno())
    if force:
        made.replace(target)
        return
    try:
        # A link is refused where a file is there, whoever made it a moment ago.
        os.link(made, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without links
        made.replace(target)
        return
    made.unlink(missing_ok=True)
