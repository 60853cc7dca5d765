"""One careful GET: how a document of another server, such as a key set, comes in.

Only from hosts the operator pinned, only over TLS 1.2 or later with a certificate for that
very name (plain HTTP to this machine's own loopback is for development), never following a
redirect, never again after a failure, never through a proxy named in the environment, within
seconds and 256 KiB. The address that was checked is the one that is connected to. Nothing of a
request is in the URL.

TLS, request and response are urllib3's single connections: its pools are what retries, follows
redirects and asks for a name anew.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from secureml.kit.networks import Address, is_loopback
from secureml.kit.urls import ParsedUrl, UrlRefused, check_address, parse_url

CONNECT_SECONDS = 3.0  # for all addresses of a name together, handshake included
READ_SECONDS = 3.0  # for the whole answer, however slowly it comes
MAX_BYTES = 256 * 1024
MEDIA_TYPES = frozenset({"application/json", "application/jwk-set+json"})
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "SecureML",
    "Connection": "close",
}
# What failed below urllib3, and the word for it; the first that fits.
_RULES: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "too_slow"),
    (ssl.SSLError, "tls"),
    (http.client.IncompleteRead, "cut_short"),
    (http.client.HTTPException, "not_http"),
    (OSError, "unreachable"),
)


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
            with closing(self._connection(found)) as connection:
                connection.connect()
                return self._exchange(connection, found)
        except UrlRefused as refused:
            raise FetchFailed(str(refused)) from None
        except (HTTPError, http.client.HTTPException, OSError) as error:
            raise FetchFailed(_rule(error)) from None

    def _connection(self, found: ParsedUrl) -> _PinnedHTTP | _PinnedHTTPS:
        """Return a connection that is not open yet, to the addresses of a name as of now."""
        connection: _PinnedHTTP | _PinnedHTTPS
        if found.scheme == "http":
            connection = _PinnedHTTP(found.host, found.port)
        else:
            connection = _PinnedHTTPS(found.host, found.port, ssl_context=self._context())
        left = self._deadline(CONNECT_SECONDS)
        connection.open_socket = partial(_open_socket, self._addresses(found), found.port, left)
        return connection

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

    def _exchange(self, connection: _PinnedHTTP | _PinnedHTTPS, found: ParsedUrl) -> bytes:
        left = self._deadline(READ_SECONDS)
        connection.timeout = READ_SECONDS
        connection.response_class = cast(
            "type[http.client.HTTPResponse]", partial(_TimedResponse, left=left)
        )
        connection.request(
            "GET", found.target, headers=_HEADERS, preload_content=False, decode_content=False
        )
        with closing(connection.getresponse()) as answer:
            _check_answer(answer)
            body = answer.read(MAX_BYTES + 1)
            if len(body) > MAX_BYTES:
                raise FetchFailed("too_large")
            if answer.length_remaining:
                raise FetchFailed("cut_short")
            return body

    def _deadline(self, seconds: float) -> Callable[[], float]:
        """Return what tells the seconds that are left, and raises TimeoutError at the end."""
        ends = self._monotonic() + seconds

        def left() -> float:
            remaining = ends - self._monotonic()
            if remaining <= 0:
                raise TimeoutError
            return remaining

        return left


class _PinnedHTTP(HTTPConnection):
    """urllib3's connection over a socket that is opened for it.

    `_new_conn` is where urllib3's own connection through SOCKS does the same. The name of the host
    stays what the Host header, SNI and the check of the certificate go by.
    """

    open_socket: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.open_socket()


class _PinnedHTTPS(HTTPSConnection):
    """The same with TLS."""

    open_socket: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.open_socket()


class _TimedResponse(http.client.HTTPResponse):
    """A response with one end for all its bytes: a timeout for each read alone never ends."""

    def __init__(
        self, connection: socket.socket, *more: Any, left: Callable[[], float], **named: Any
    ) -> None:
        super().__init__(connection, *more, **named)
        self.fp = io.BufferedReader(_TimedReader(connection, self.fp.detach(), left))


class _TimedReader(io.RawIOBase):
    """Bytes of a connection, for as long as there is time left."""

    def __init__(
        self, connection: socket.socket, raw: io.RawIOBase, left: Callable[[], float]
    ) -> None:
        self._connection, self._raw, self._left = connection, raw, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _open_socket(
    addresses: Iterable[Address], port: int, left: Callable[[], float]
) -> socket.socket:
    """Return a socket to the first address that answers; raises what the last one did."""
    last: Exception = FetchFailed("unreachable")
    for address in addresses:
        try:
            opened = socket.create_connection((str(address), port), timeout=left())
        except OSError as error:
            last = error
            continue
        opened.settimeout(left())  # for the handshake
        return opened
    raise last


def _check_answer(answer: HTTPResponse) -> None:
    if 300 <= answer.status < 400:
        # The place it names is not ours to choose, and not pinned (OWASP API7).
        raise FetchFailed("redirected")
    if answer.status != http.client.OK:
        raise FetchFailed("status")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise FetchFailed("content_type")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed("content_encoding")
    if (answer.length_remaining or 0) > MAX_BYTES:
        raise FetchFailed("too_large")


def _rule(error: Exception) -> str:
    """Return the word for what failed: urllib3 names as the cause what failed below it."""
    cause = error.__cause__ if isinstance(error, HTTPError) else error
    return next((word for kind, word in _RULES if isinstance(cause, kind)), "not_http")
