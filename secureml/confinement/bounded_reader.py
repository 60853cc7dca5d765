"""Read from a pipe without waiting, up to a bound."""

from __future__ import annotations

import os
from typing import BinaryIO

_AT_ONCE = 1 << 16
_KEPT = 1 << 14


class BoundedReader:
    """Counts what comes out of a pipe, and hands it to `sink` or keeps its last 16 KiB."""

    def __init__(self, descriptor: int, bound: int, sink: BinaryIO | None = None) -> None:
        self.descriptor = descriptor
        self.tail = b""
        self.has_ended = False
        self._left = bound
        self._sink = sink
        os.set_blocking(descriptor, False)

    @property
    def is_exceeded(self) -> bool:
        """Whether more came than the bound."""
        return self._left < 0

    def read(self) -> bool:
        """Read once; return whether there may be more at once, within the bound."""
        try:
            chunk = os.read(self.descriptor, _AT_ONCE)
        except BlockingIOError:
            return False
        self.has_ended = not chunk
        accepted = chunk[: max(self._left, 0)]
        self._left -= len(chunk)
        if self._sink:
            self._sink.write(accepted)
        else:
            self.tail = (self.tail + accepted)[-_KEPT:]
        return not self.has_ended and not self.is_exceeded
