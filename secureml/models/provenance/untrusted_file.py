"""Files that may be anybody's: read within a bound, and refused in one line."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NoReturn

from secureml.config_error import ConfigError
from secureml.models.artifact.version_files import one_line


def read_file(path: Path, limit: int, what: str) -> bytes:
    """Return the contents of a regular file, at most so many bytes; raises ConfigError."""
    try:
        # O_NONBLOCK: opening a fifo must not hang.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                refuse(path, f"the {what} is not a regular file", "name a file")
            with os.fdopen(os.dup(opened), "rb") as file:
                content = file.read(limit + 1)
        finally:
            os.close(opened)
    except OSError as error:
        refuse(path, f"the {what} cannot be read ({error.strerror})", "check its path and mode")
    if len(content) > limit:
        refuse(path, f"the {what} is larger than {limit} bytes", f"name a file that is a {what}")
    return content


def words(error: Exception) -> str:
    said = " ".join(str(error).split())
    return one_line(f"{type(error).__name__}: {said}" if said else type(error).__name__, 300)


def refuse(path: Path, message: str, fix: str) -> NoReturn:
    raise ConfigError(message, file=one_line(str(path)), fix=fix) from None
