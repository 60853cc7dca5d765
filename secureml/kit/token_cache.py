"""Verified credentials, remembered until something they depend on changes.

A credential is verified once in each worker process; from then on it costs a digest and one
look at the store's counters. What was verified is kept beside the counters that were read
*before* it was verified: kept in a later state, one that was revoked in between would be
valid until the next change.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from hashlib import sha256
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")
SIZE = 4096


class _Entry(NamedTuple, Generic[V]):
    ends: float
    value: V


class Verified(Generic[V]):
    """What was verified in one state of the store."""

    def __init__(self, size: int) -> None:
        self._entries: dict[Hashable, _Entry[V]] = {}
        self._size = size

    def find(self, key: Hashable, now: float) -> V | None:
        """Return the value of a key; None when it is not known or has ended (epoch seconds)."""
        entry = self._entries.get(key)
        return None if entry is None or now >= entry.ends else entry.value

    def keep(self, key: Hashable, ends: float, value: V) -> None:
        """Remember a key until ``ends``, epoch seconds."""
        if len(self._entries) >= self._size and key not in self._entries:
            # Credentials that fill the memory are mostly past; what is not is verified again.
            self._entries.clear()
        self._entries[key] = _Entry(ends, value)


class TokenCache(Generic[V]):
    """Verified credentials of one plugin, safe for the threads of one process.

    ``versions`` are the store's counters; ``topics`` those of them that concern the credentials,
    None for all.
    """

    def __init__(
        self,
        versions: Callable[[], Mapping[str, int]],
        topics: Sequence[str] | None = None,
        *,
        size: int = SIZE,
    ) -> None:
        self._versions, self._topics, self._size = versions, topics, size
        self._state: tuple[Mapping[str, int], tuple[int, ...], Verified[V]]
        self._state = ({}, (), Verified(size))

    def current(self) -> Verified[V]:
        """Return what was verified since anything that counts changed; raises what the store does.

        Ask before verifying, and keep what was verified in the very object that was returned.
        """
        seen, relevant, verified = self._state
        versions = self._versions()
        if versions is seen:
            return verified
        now_relevant = self._relevant(versions)
        if now_relevant != relevant or self._topics is None:
            verified = Verified(self._size)
        self._state = (versions, now_relevant, verified)
        return verified

    def _relevant(self, versions: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(versions.get(topic, 0) for topic in self._topics or ())


def digest(text: str) -> bytes:
    """Return the SHA-256 of a credential as it came in a header: the text itself is not kept."""
    return sha256(text.encode("latin-1", "replace")).digest()
