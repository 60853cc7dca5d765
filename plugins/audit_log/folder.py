"""The files of a chain: named by the number of their first record, opened, read from the end.

Knows no Flask and no SecureML.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import line

MODE = 0o640
SUFFIX = ".jsonl"
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class End:
    """How a file ends: its last whole line, and the stump after it if a writer was killed."""

    last: line.Line | None
    size: int
    stump: bytes


def name_of(seq: int) -> str:
    """Return the name of the file that begins with this record."""
    return f"audit-{seq:012d}{SUFFIX}"


def first_of(path: Path) -> int:
    """Return the number that a file's name says its first record has."""
    return int(path.name.removeprefix("audit-").removesuffix(SUFFIX))


def files(folder: Path) -> list[Path]:
    """Return the files of the chain, the oldest first."""
    return sorted(path for path in folder.glob(f"audit-*{SUFFIX}") if path.stem[6:].isdigit())


def make(folder: Path, mode: int = 0o750) -> None:
    """Make the folder of a chain; what root makes belongs to the owner of the folder above."""
    if folder.is_dir():
        return
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)


def open_file(path: Path) -> int:
    """Open a file for appending to it and reading it."""
    return os.open(path, _APPEND)


def create(folder: Path, seq: int, content: bytes) -> Path:
    """Make a file that is whole from its first moment. Raises OSError and leaves none."""
    made, path = folder / "next.tmp", folder / name_of(seq)
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        if os.geteuid() == 0:
            # A command run by root must not leave a file that the service cannot write.
            owner = folder.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        if os.write(handle, content) != len(content):
            raise OSError(f"{path.name} could not be begun")
        os.fsync(handle)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    made.rename(path)
    sync_folder(folder)
    return path


def sync_folder(folder: Path) -> None:
    """See that the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_end(handle: int, size: int) -> End:
    """Read the last whole line of the first ``size`` bytes and what stands after it."""
    step = 4096
    while True:
        start = max(0, size - step)
        block = os.pread(handle, size - start, start)
        cut = block.rfind(b"\n") + 1
        begin = block.rfind(b"\n", 0, max(0, cut - 1)) + 1
        if start == 0 or (cut and begin):
            whole = line.read(block[begin : cut - 1]) if cut else None
            return End(whole, size, block[cut:])
        step *= 4
