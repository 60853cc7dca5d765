"""Where the work writes its result: a new file, or a pipe that is read into a file object."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from .bounded_reader import BoundedReader
from .limits import Limits


class ResultChannel:
    """Opens the result for the child, and removes a file unless `keep` was called.

    A file is bounded by the kernel (RLIMIT_FSIZE), a pipe by its reader. Raises FileExistsError
    for a path that is there.
    """

    def __init__(self, output: Path | BinaryIO | None, limits: Limits) -> None:
        self.descriptor: int | None = None
        self.reader: BoundedReader | None = None
        self._path: Path | None = None
        self._limits = limits
        self._keep = False
        if isinstance(output, Path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self.descriptor = os.open(output, flags, 0o600)
            self._path = output
        elif output is not None:
            source, self.descriptor = os.pipe()
            self.reader = BoundedReader(source, limits.output, output)

    def __enter__(self) -> Self:
        return self

    def started(self) -> None:
        """Close our copy of the pipe's writing end: its end is then the child's."""
        if self.reader:
            self._close_descriptor()

    def is_too_long(self) -> bool:
        """Whether a file grew beyond the limit."""
        if self._path is None or self.descriptor is None:
            return False
        return os.fstat(self.descriptor).st_size > self._limits.output

    def keep(self) -> None:
        """Leave the file where it is."""
        self._keep = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_descriptor()
        if self.reader:
            os.close(self.reader.descriptor)
        if self._path and not self._keep:
            self._path.unlink(missing_ok=True)

    def _close_descriptor(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
