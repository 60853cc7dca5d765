"""The files of a chain: named by the number of their first record, opened, read from the end.

Knows no Flask and no SecureML.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from . import line

log = logging.getLogger("secureml.audit_log")

MODE = 0o640
SUFFIX = ".jsonl"
LOCK = "writers.lock"
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class End:
    """How a file ends: its last whole line, and the stump after it if a writer was killed."""

    last: line.Line | None
    size: int
    stump: bytes

    def torn(self) -> dict[str, int | str]:
        """Return what the record behind a stump tells of it."""
        digest = sha256(self.stump).hexdigest()
        return {"at": self.size - len(self.stump), "bytes": len(self.stump), "sha256": digest}


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
    give(folder, folder.parent)


def give(made: Path | int, folder: Path) -> None:
    """Give what root has made to the owner of a folder: the service must be able to write it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def open_lock(folder: Path) -> int:
    """Open the file whose lock says who may write; only writers can.

    The folder, and a chain's files, may be open to readers, and a lock can be taken on whatever
    can be opened: a reader could hold up every answer. Raises OSError.
    """
    path = folder / LOCK
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & 0o077:
            raise PermissionError(
                errno.EACCES, f"mode {mode:04o} lets others hold the lock; fix: chmod 600 {path}"
            )
        give(handle, folder)
    except OSError:
        os.close(handle)
        raise
    return handle


def open_file(path: Path) -> int:
    """Open a file for appending to it and reading it."""
    return os.open(path, _APPEND)


def without_empty(files: list[Path], time: str) -> list[Path]:
    """Move files at the end without a record out of the way: each was made with one in it."""
    while files and not has_record(files[-1]):
        log.error("%s is empty: its records were taken away", files[-1])
        files[-1].rename(files[-1].with_name(f"{files[-1].name}.empty-{time.replace(':', '')}"))
        files = files[:-1]
    return files


def has_record(path: Path) -> bool:
    """Tell whether a file begins with a whole line that is a record."""
    with path.open("rb") as file:
        first = file.readline(line.LIMIT)
    return first.endswith(b"\n") and line.read(first[:-1]) is not None


def create(folder: Path, seq: int, content: bytes) -> Path:
    """Make a file that is whole from its first moment. Raises OSError and leaves none."""
    made, path = folder / "next.tmp", folder / name_of(seq)
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        give(handle, folder)
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


def set_aside(folder: Path, time: str) -> str:
    """Move the files of a chain into a folder of their own beside it; return its name, or ""."""
    found = files(folder)
    if not found:
        return ""
    aside = folder / f"ended-{time.replace(':', '')}"
    aside.mkdir(mode=0o750)
    give(aside, folder)
    for path in found:
        path.rename(aside / path.name)
    sync_folder(aside)
    sync_folder(folder)
    return aside.name


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
