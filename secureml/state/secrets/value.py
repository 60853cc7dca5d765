"""A secret as a value: it does not print, pickle or compare by accident."""

from __future__ import annotations

import hmac
from typing import NamedTuple, NoReturn


class SecretUnavailable(Exception):
    """The last good value is older than the operator allows; code that needs it must refuse."""


class Secret:
    """Bytes that do not show themselves; ``reveal`` is the one way to see them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes; call it where they are used and keep the result nowhere."""
        return self._value

    def matches(self, offered: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._value, offered)

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash in a dict would outlive its use

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Reading(NamedTuple):
    """What was found at a reference; ``changed`` is epoch seconds, None if unknown."""

    secret: Secret
    changed: float | None
