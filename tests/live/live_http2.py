"""HTTP/2 by the frame: what no honest client sends, and everything that comes back."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from live_servers import Edge

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NORMAL = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/last")]


class Http2:
    """One connection that speaks frames; nothing is checked before it is sent."""

    def __init__(self, edge: Edge, source: str = "127.0.0.1") -> None:
        trust = ssl.create_default_context(cafile=edge.authority)
        trust.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", edge.port), 10, source_address=(source, 0))
        self._socket = trust.wrap_socket(plain, server_hostname="localhost")
        assert self._socket.selected_alpn_protocol() == "h2"
        # Huffman and table as h2 has them; a name goes out as it is given.
        self.encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._buffer, self.closed = b"", False
        self.answers: dict[int, dict[str, Any]] = {}
        self.goaway: int | None = None
        self._pings = 0  # how many the server has answered
        self.send(PREFACE + SettingsFrame(0).serialize())

    def send(self, data: bytes) -> bool:
        """Send bytes; tell whether the server still takes them."""
        try:
            self._socket.sendall(data)
        except OSError:
            self.closed = True
        return not self.closed

    def headers(
        self, stream: int, headers: Sequence[tuple[str | bytes, str | bytes]], *, end: bool = True
    ) -> bytes:
        """Return the frame that opens a stream."""
        block = self.encoder.encode([hpack.HeaderTuple(*_bytes(pair)) for pair in headers])
        frame = HeadersFrame(stream, block, flags=["END_HEADERS", *["END_STREAM"] * end])
        return frame.serialize()

    def data(self, stream: int, content: bytes) -> bytes:
        """Return the frame that ends a stream with a body."""
        return DataFrame(stream, content, flags=["END_STREAM"]).serialize()

    def read(self, streams: set[int], seconds: float = 5) -> None:
        """Read until each of the streams has its answer, or the server ends the connection."""
        deadline = time.monotonic() + seconds
        while not self.closed and not streams <= {s for s, a in self.answers.items() if a["done"]}:
            left = deadline - time.monotonic()
            if left <= 0 or not self._receive(left):
                return

    def settle(self) -> bool:
        """Wait until the server has read all that was sent; tell whether it goes on talking."""
        answered = self._pings
        self.send(PingFrame(0, b"settled?").serialize())
        while not self.closed and self.goaway is None and self._pings == answered:
            if not self._receive(10):
                return False
        return not self.closed and self.goaway is None

    def outcome(self, stream: int) -> str:
        """Return what came of a stream: a status with the code of a refusal, reset or silence."""
        answer = self.answers.get(stream)
        if answer is None:
            return "connection closed" if self.closed or self.goaway is not None else "silence"
        if answer["status"] is None:
            return "reset"
        if answer["type"] == "application/problem+json":
            return f"{answer['status']}:{json.loads(answer['body'])['code']}"
        return str(answer["status"])

    def _receive(self, seconds: float) -> bool:
        """Read what has come; tell whether anything has, the end of the connection included."""
        self._socket.settimeout(seconds)
        try:
            received = self._socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            received = b""
        self.closed = not received
        self._buffer += received
        self._take()
        return True

    def _take(self) -> None:
        while len(self._buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
            if len(self._buffer) < 9 + length:
                return
            frame.parse_body(memoryview(self._buffer[9 : 9 + length]))
            self._buffer = self._buffer[9 + length :]
            self._note(frame)

    def _note(self, frame: Frame) -> None:
        if isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame):
            self._pings += "ACK" in frame.flags
        elif isinstance(frame, (HeadersFrame, DataFrame, RstStreamFrame)):
            empty = {"status": None, "type": "", "body": b"", "done": False, "count": 0}
            answer = self.answers.setdefault(frame.stream_id, empty)
            if isinstance(frame, HeadersFrame):
                found = dict(self._decoder.decode(frame.data))
                answer["status"], answer["type"] = int(found[":status"]), found.get("content-type")
                answer["count"] += 1
            elif isinstance(frame, DataFrame):
                answer["body"] += frame.data
            reset = isinstance(frame, RstStreamFrame)
            answer["done"] = answer["done"] or reset or "END_STREAM" in frame.flags

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def _bytes(pair: tuple[str | bytes, str | bytes]) -> list[bytes]:
    return [part.encode("latin-1") if isinstance(part, str) else part for part in pair]
