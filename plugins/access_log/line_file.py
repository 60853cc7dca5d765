"""A file that many processes append whole lines to, and that may be moved away while they do.

Each line is one ``write`` to a descriptor opened for appending, so lines of several workers
never mix and nothing waits in a buffer that a killed worker would take along. Before each
line the path is looked at: once logrotate has moved the file, the next line opens a new one.
Knows no Flask and no SecureML.
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock

# Names of clients are not for every user of the machine, after a rotation as before it.
MODE = 0o640
_NONE, _STALE = (-1, -1, -1), (-2, -2, -2)
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class LineFile:
    """Appends lines; opened by the first of them, in the process that writes it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._lock = Lock()
        self._descriptor = -1
        self._identity = _NONE

    def write(self, line: str) -> None:
        """Append one line. Raises OSError when it cannot be written whole."""
        content = f"{line}\n".encode("ascii", "backslashreplace")
        with self._lock:
            written = os.write(self._open(), content)
            if written != len(content):
                # A disk that filled up in mid-line: end the stump, so that the next is whole.
                os.write(self._descriptor, b"\n")
                raise OSError(f"only {written} of {len(content)} bytes were written")

    def reopen(self) -> None:
        """Have the next line open the path anew, whatever it looks like; safe in a signal."""
        self._identity = _STALE

    def close(self) -> None:
        """Release the file; a later line opens it again."""
        with self._lock:
            self._release()

    def _open(self) -> int:
        # The process id is part of the identity: a descriptor from before a fork is shared.
        try:
            found = os.stat(self._path)  # noqa: PTH116 - on every request, half of Path.stat
            identity = (found.st_dev, found.st_ino, os.getpid())
        except FileNotFoundError:
            identity = _NONE
        if identity != self._identity or self._descriptor < 0:
            self._release()
            self._descriptor = os.open(self._path, _FLAGS, MODE)
            opened = os.fstat(self._descriptor)
            self._identity = (opened.st_dev, opened.st_ino, os.getpid())
        return self._descriptor

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
