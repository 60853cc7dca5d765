"""The shapes of what the core hands to plugins, for code that knows neither the core nor Flask.

A pure module of a plugin names these in its signatures: the real objects fit them, and so does
anything a test makes up.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa


class Store(Protocol):
    """Tables, transactions, and one counter a topic that moves with each change.

    ``versions`` returns the very same mapping until some counter has moved.
    """

    def register(self, metadata: sa.MetaData) -> None:
        """Declare tables; made at the first use of the store."""

    def begin(self, *, durable: bool = True) -> AbstractContextManager[sa.Connection]:
        """Return a write transaction; it waits for the disk unless it need not be durable."""

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Return a read transaction."""

    def touch(self, connection: sa.Connection, topic: str) -> None:
        """Say, inside a transaction, that something of this topic changed."""

    def version(self, topic: str) -> int:
        """Return the counter of one topic as the current request sees it."""

    def versions(self) -> Mapping[str, int]:
        """Return the counters of all topics as the current request sees them."""


class VerifyingKey(Protocol):
    """The public half of a signing key: believed for one algorithm, until ``ends`` (epoch)."""

    algorithm: str
    key: Any
    ends: float


class SigningKey(Protocol):
    """The private half of a signing key."""

    kid: str
    algorithm: str
    private: Any


class SigningKeys(Protocol):
    """Our own signing keys: one signs, all that are not retired verify."""

    def active(self) -> Any:
        """Return the key that signs now."""

    def ready(self) -> str | None:
        """Return a word while there is none that could."""

    def public(self, kid: str) -> Any:
        """Return the key of that name, None unless it is believed."""

    def jwks(self) -> dict[str, Any]:
        """Return the public halves as a JSON Web Key Set."""


class Clients(Protocol):
    """The clients of the application."""

    def get(self, name: str) -> Any:
        """Return the client of that name, None where there is none."""
