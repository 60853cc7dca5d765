"""A body that may be read before its time, by several, each with a limit of its own.

Who reads a stream takes it from everybody else, and whoever stops at a limit leaves a beginning
that would pass for the whole. Here what was taken is kept, and the stream that the request has
from then on gives it again, then the rest: the next reader finds a body nobody has touched.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIEnvironment

_PIECE = 65536


class EarlyBody(io.RawIOBase):
    """Stands in for the input of a request; reads no more of it than somebody asks for."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        # As far as Werkzeug holds it safe to read: as announced, or where the server ends it.
        self._rest = get_input_stream(environ)
        self._kept, self._given = bytearray(), 0
        environ["wsgi.input"] = self

    def beginning(self, length: int) -> bytes:
        """Return the first bytes of the body: so many, or all there are."""
        while (missing := length - len(self._kept)) > 0 and self._take(missing):
            pass
        return bytes(self._kept[:length])

    def readable(self) -> bool:
        """Tell that it is a stream to read from."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer with what comes next for whoever reads the request."""
        room = memoryview(buffer).cast("B")
        if self._given == len(self._kept):
            self._take(len(room))
        piece = self._kept[self._given : self._given + len(room)]
        room[: len(piece)] = piece
        self._given += len(piece)
        return len(piece)

    def _take(self, most: int) -> bool:
        piece = self._rest.read(min(most, _PIECE))
        self._kept += piece
        return bool(piece)
