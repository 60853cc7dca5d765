"""Segment files: named by their first record, created, opened, appended to, read from the end.

Knows no Flask and no SecureML.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from . import codec

log = logging.getLogger("secureml.audit_log")

MODE = 0o640
SUFFIX = ".jsonl"
LOCK = "writers.lock"
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class End:
    """The end of a file: its last whole line, and the torn tail a killed writer left after it."""

    last: codec.Line | None
    size: int
    torn_tail: bytes

    def torn(self) -> dict[str, int | str]:
        """Return the fields of the record about a torn tail."""
        digest = sha256(self.torn_tail).hexdigest()
        return {
            "at": self.size - len(self.torn_tail),
            "bytes": len(self.torn_tail),
            "sha256": digest,
        }


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
    """Make the folder of a chain; made by root, it belongs to the owner of its parent."""
    if folder.is_dir():
        return
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    give(folder, folder.parent)


def give(made: Path | int, folder: Path) -> None:
    """Chown what root has made to the owner of a folder: the service must be able to write it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def open_lock(folder: Path) -> int:
    """Open the lock file, which only writers can open.

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
                errno.EACCES,
                (f"mode {mode:04o} lets other users hold the lock; fix: chmod 600 {path}"),
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
    """Rename files at the end that have no record: each was created with one."""
    while files and not has_record(files[-1]):
        log.error("%s has no records: they were removed; fix: secureml audit-log verify", files[-1])
        files[-1].rename(files[-1].with_name(f"{files[-1].name}.empty-{time.replace(':', '')}"))
        files = files[:-1]
    return files


def has_record(path: Path) -> bool:
    """Return whether a file begins with a whole line that is a record."""
    with path.open("rb") as file:
        first = file.readline(codec.LIMIT)
    return first.endswith(b"\n") and codec.read(first[:-1]) is not None


def create(folder: Path, seq: int, content: bytes) -> Path:
    """Create a file atomically with its content. Raises OSError and leaves none."""
    made, path = folder / "next.tmp", folder / name_of(seq)
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        give(handle, folder)
        if os.write(handle, content) != len(content):
            raise OSError(f"{path.name} could not be started")
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
    """Flush a folder, so that its names survive a power cut."""
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
            whole = codec.read(block[begin : cut - 1]) if cut else None
            return End(whole, size, block[cut:])
        step *= 4


UNKNOWN = 0  # no file of ours is as small: its end is read again


class OpenSegment:
    """The segment being written, open or not; ``size`` is that of its known records, in bytes."""

    def __init__(self) -> None:
        self.handle, self.size = -1, UNKNOWN
        self._path, self._inode = "", 0

    def use(self, opened: int, path: Path, before_close: Callable[[int], None]) -> None:
        """Go on with another file; ``let_go`` is called with the one before, before it is shut."""
        if self.handle >= 0:
            before_close(self.handle)
            os.close(self.handle)
        self.handle, self._path, self.size = opened, str(path), UNKNOWN
        self._inode = os.fstat(opened).st_ino

    def close(self) -> None:
        """Close it."""
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1

    def grown_to(self) -> int:
        """Return its current size in bytes, -1 when the path is another file or none."""
        if self.handle < 0:
            return -1
        try:
            found = os.stat(self._path)  # noqa: PTH116 - for every record, half of Path.stat
        except FileNotFoundError:
            return -1
        return found.st_size if found.st_ino == self._inode else -1

    def add(self, content: bytes, then: Callable[[], None]) -> None:
        """Append and call ``then``; where either raises OSError, both are undone."""
        try:
            written = os.write(self.handle, content)
            if written != len(content):
                # A disk that filled up in mid-line.
                raise OSError(f"only {written} of {len(content)} bytes were written")
            then()
        except OSError:
            self._undo()
            raise
        self.size += written

    def _undo(self) -> None:
        """Truncate a part of a line; on an append-only file the next writer records it."""
        try:
            if os.fstat(self.handle).st_size > self.size:
                os.ftruncate(self.handle, self.size)
        except OSError:
            self.size = UNKNOWN

    def end(self) -> End:
        """Read its last record, and what follows it."""
        return read_end(self.handle, os.fstat(self.handle).st_size)


def first_line(handle: int) -> codec.Line | None:
    """Return the record that opens a file."""
    return codec.read(os.pread(handle, codec.LIMIT, 0).partition(b"\n")[0])
