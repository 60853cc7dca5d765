"""The file that is written at the moment: appended to by one call a record, and looked after.

Guarantees: what was added is there whole, or what was there of it is taken back. Used under the
lock of the chain. Knows no Flask and no SecureML.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from . import folder as place
from . import line

UNKNOWN = 0  # no file of ours is as small: its end is read again


class LogFile:
    """One file, open or not; ``size`` is that of the records in it that we know."""

    def __init__(self) -> None:
        self.handle, self.size = -1, UNKNOWN
        self._path, self._inode = "", 0

    def use(self, opened: int, path: Path, let_go: Callable[[int], None]) -> None:
        """Go on with another file; ``let_go`` is called with the one before, before it is shut."""
        if self.handle >= 0:
            let_go(self.handle)
            os.close(self.handle)
        self.handle, self._path, self.size = opened, str(path), UNKNOWN
        self._inode = os.fstat(opened).st_ino

    def close(self) -> None:
        """Shut it."""
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1

    def grown_to(self) -> int:
        """Return its size as it is now, -1 when it is not there any more."""
        if self.handle < 0:
            return -1
        try:
            found = os.stat(self._path)  # noqa: PTH116 - for every record, half of Path.stat
        except FileNotFoundError:
            return -1
        return found.st_size if found.st_ino == self._inode else -1

    def add(self, content: bytes, then: Callable[[], None]) -> None:
        """Append, and do what belongs to it; where either raises OSError, neither was done."""
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
        """Take back a part of a line; where only appending is allowed, the next writer tells."""
        try:
            if os.fstat(self.handle).st_size > self.size:
                os.ftruncate(self.handle, self.size)
        except OSError:
            self.size = UNKNOWN

    def end(self) -> place.End:
        """Read its last record, and what stands after it."""
        return place.read_end(self.handle, os.fstat(self.handle).st_size)


def first_line(handle: int) -> line.Line | None:
    """Return the record that opens a file."""
    return line.read(os.pread(handle, line.LIMIT, 0).partition(b"\n")[0])
