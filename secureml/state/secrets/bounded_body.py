"""What a secrets manager answers, read with an end: so many bytes, so many seconds.

A manager is trusted to keep secrets, not to be well: one that sends without end, or a byte
at a time, must not hold a worker's memory or thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from secureml.config_error import ConfigError
from secureml.kit.networks import is_loopback

SILENCE = 3.0  # seconds to connect, and between two pieces of an answer
WHOLE = 10.0  # seconds for the whole body
LARGEST = 256 * 1024  # bytes; AWS holds 64 KiB, Vault's own bound is a megabyte for a request


class BodyRefused(Exception):
    """The answer was longer, or came slower, than anyone who means well would send it."""


class BoundedBody:
    """Stands in for urllib3's response where requests and botocore read a body."""

    def __init__(self, raw: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._raw, self._monotonic = raw, monotonic

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield the body as it came; raises BodyRefused.

        It is never decoded: we ask for identity, and a compressed answer would hide its size.
        """
        del amt, decode_content
        ends, taken = self._monotonic() + WHOLE, 0
        while piece := self._raw.read1(65536, decode_content=False):
            taken += len(piece)
            if taken > LARGEST or self._monotonic() > ends:
                self.close()
                raise BodyRefused
            yield piece

    def close(self) -> None:
        """Let go of the connection, unread bytes and all."""
        self._raw.close()

    def release_conn(self) -> None:
        """Give the connection back."""
        self._raw.release_conn()


def check_url(url: str, table: str, key: str) -> None:
    """Raise ConfigError unless secrets would travel encrypted, or not leave this machine."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ConfigError(
            "a secrets manager must be reached over https (http only on loopback)",
            table=table,
            key=key,
            fix="write https://HOST:PORT",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "the address must not contain credentials, a query or a fragment",
            table=table,
            key=key,
            fix="write only https://HOST:PORT",
        )
