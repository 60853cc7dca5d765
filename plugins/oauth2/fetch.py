"""One careful GET: how a document of an identity provider comes into the application.

Only from hosts the operator pinned, only over TLS 1.2 or later with a certificate for that
very name (plain HTTP to this machine's own loopback is for development), never following a
redirect, never through a proxy named in the environment, within seconds and 256 KiB. The
address that was checked is the one that is connected to. Nothing of a request is in the URL.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from ipaddress import ip_address
from typing import Any, cast

from secureml.kit.networks import Address, is_loopback

from .urls import PORTS, ParsedUrl, UrlRefused, check_address, parse_url

CONNECT_SECONDS = 3.0  # for all addresses of a name together, handshake included
READ_SECONDS = 3.0  # for the whole answer, however it dribbles in
MAX_BYTES = 256 * 1024
MEDIA_TYPES = frozenset({"application/json", "application/jwk-set+json"})


class FetchFailed(UrlRefused):
    """A document could not be had; its text is the rule that failed, one word."""


class Fetcher:
    """Fetches from pinned hosts; ``plain_http`` allows loopback without TLS, for development."""

    def __init__(
        self,
        pins: Iterable[tuple[str, int]],
        *,
        ca: str | None = None,
        plain_http: bool = False,
        resolve: Callable[..., list[Any]] = socket.getaddrinfo,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pins, self._plain = frozenset(pins), plain_http
        self._ca, self._resolve, self._monotonic = ca, resolve, monotonic
        self._tls: ssl.SSLContext | None = None

    def check(self, url: object) -> ParsedUrl:
        """Return where a URL points if we may go there, else raise UrlRefused."""
        found = parse_url(url)
        if found.pin not in self._pins:
            raise UrlRefused("host_not_pinned")
        if found.scheme == "http" and not (self._plain and is_loopback(found.host)):
            raise UrlRefused("not_https")
        return found

    def __call__(self, url: str) -> bytes:
        """Return the document at a URL; raises FetchFailed."""
        try:
            found = self.check(url)
            with closing(self._connect(found)) as connection:
                return self._read(connection, found)
        except UrlRefused as refused:
            raise FetchFailed(str(refused)) from None
        except TimeoutError:
            raise FetchFailed("too_slow") from None
        except ssl.SSLError:
            raise FetchFailed("tls") from None
        except http.client.HTTPException:
            raise FetchFailed("not_http") from None
        except OSError:
            raise FetchFailed("unreachable") from None

    def _connect(self, found: ParsedUrl) -> socket.socket:
        deadline = self._monotonic() + CONNECT_SECONDS
        last: Exception = FetchFailed("unreachable")
        for address in self._addresses(found):
            try:
                left = _left(deadline, self._monotonic)
                connection = socket.create_connection((str(address), found.port), timeout=left)
            except OSError as error:
                last = error
                continue
            connection.settimeout(_left(deadline, self._monotonic))
            return self._secure(connection, found)
        raise last

    def _secure(self, connection: socket.socket, found: ParsedUrl) -> socket.socket:
        if found.scheme == "http":
            return connection
        try:
            return self._context().wrap_socket(connection, server_hostname=found.host)
        except BaseException:
            connection.close()
            raise

    def _addresses(self, found: ParsedUrl) -> list[Address]:
        try:
            answers = self._resolve(found.host, found.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise FetchFailed("unknown_host") from None
        addresses = [ip_address(answer[4][0].partition("%")[0]) for answer in answers]
        for address in addresses:
            check_address(address, plain=found.scheme == "http")
        return addresses

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._ca)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls

    def _read(self, connection: socket.socket, found: ParsedUrl) -> bytes:
        connection.settimeout(READ_SECONDS)
        connection.sendall(_request(found))
        timed = _Timed(connection, self._monotonic() + READ_SECONDS, self._monotonic)
        # The library asks a socket for a file and nothing else.
        answer = http.client.HTTPResponse(cast("socket.socket", timed))
        answer.begin()
        _check_answer(answer)
        body = answer.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise FetchFailed("too_large")
        if answer.length:
            raise FetchFailed("cut_short")
        return body


class _Timed(io.RawIOBase):
    """Bytes of a connection until a moment: a timeout for each read alone never ends."""

    def __init__(
        self, connection: socket.socket, deadline: float, monotonic: Callable[[], float]
    ) -> None:
        self._connection, self._deadline, self._monotonic = connection, deadline, monotonic

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the file an HTTPResponse reads."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_left(self._deadline, self._monotonic))
        return self._connection.recv_into(buffer)


def _left(deadline: float, monotonic: Callable[[], float]) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _request(found: ParsedUrl) -> bytes:
    host = f"[{found.host}]" if ":" in found.host else found.host
    if found.port != PORTS[found.scheme]:
        host = f"{host}:{found.port}"
    return (
        f"GET {found.target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
        "Accept-Encoding: identity\r\nUser-Agent: SecureML\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def _check_answer(answer: http.client.HTTPResponse) -> None:
    if 300 <= answer.status < 400:
        # The place it names is not ours to choose, and not pinned (OWASP API7).
        raise FetchFailed("redirected")
    if answer.status != http.client.OK:
        raise FetchFailed("status")
    kind = answer.headers.get_content_type() if answer.headers["Content-Type"] else ""
    if kind not in MEDIA_TYPES:
        raise FetchFailed("content_type")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed("content_encoding")
    if answer.length is not None and answer.length > MAX_BYTES:
        raise FetchFailed("too_large")
