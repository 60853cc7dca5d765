"""A socket of its own for scrapers on this machine: one path, one method, no credentials.

Every worker listens on the same address and any of them answers, so it is there for as long
as one worker is. Only loopback: what is sent here is neither encrypted nor asked who it is.
A page in a browser on this machine must not read it either, so a foreign Host is refused.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread
from typing import Any

from secureml.kit.networks import is_loopback

PATH = "/metrics"
PATIENCE = 5.0  # seconds a scraper may take to say what it wants


def split(address: str) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:9464` or `[::1]:9464`; raises ValueError otherwise."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not ip_address(host).is_loopback or not 1 <= int(port) <= 65535:
        raise ValueError(address)
    return host, int(port)


class Listener:
    """Serves what ``text`` returns, from a thread, until it is closed or the process ends."""

    def __init__(self, address: str, text: Callable[[str], tuple[bytes, str]]) -> None:
        self._address, self._text = split(address), text
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> int:
        """Listen, and return the port; raises OSError where another program does already."""
        server = _server(self._address, self._text)
        Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        self._server = server
        return int(server.server_address[1])

    def close(self) -> None:
        """Listen no more, and end the thread."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _server(
    address: tuple[str, int], text: Callable[[str], tuple[bytes, str]]
) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        daemon_threads = True
        allow_reuse_port = True  # by each worker; the kernel lets in no other user's process

    class Handler(_Handler):
        tell = staticmethod(text)

    return Server(address, Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    tell: Callable[[str], tuple[bytes, str]]

    def do_GET(self) -> None:
        if not _is_here(self.headers.get("Host", "")):
            self._answer(421, b"", "text/plain")
        elif self.path != PATH:
            self._answer(404, b"", "text/plain")
        else:
            self._answer(200, *self.tell(self.headers.get("Accept", "")))

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response_only(status)  # without the header that names Python and its version
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer without the library's page, which repeats what was sent."""
        del message, explain
        self.close_connection = True
        self._answer(int(code), b"", "text/plain")

    def log_message(self, *_: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""


def _is_here(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return is_loopback(name)
