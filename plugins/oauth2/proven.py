"""Tokens that were proven, remembered while nothing changed that they stand on.

A token is proven once in each worker and costs a digest and a look at the store's counters
from then on. A change of a client, of a key, or of anything of the authorization server
forgets all of them; a withdrawn key of an outside issuer forgets those it signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .issuer import Issuer
from .keys import Keys

SIZE = 4096
_TOPICS = ("clients", "oauth2", "signing_keys")


class Named(NamedTuple):
    """A token that was proven: until when, for whom, bound to what, and with whose keys.

    One of our own has no ``issuer``: what it was proven with is watched by the counters.
    """

    ends: float
    principal: Any  # the house's Principal
    bound: str | None
    issuer: Issuer | None = None
    keys: Keys | None = None


class _Cache(NamedTuple):
    """The tokens proven while the store stood at ``versions``."""

    versions: Mapping[str, int]
    relevant: tuple[int, ...]
    by_digest: dict[bytes, Named]


class Proven:
    """Remembers proven tokens; ``versions`` are the store's counters."""

    def __init__(self, versions: Callable[[], Mapping[str, int]]) -> None:
        self._versions = versions
        self._cache = _Cache({}, (), {})

    def current(self) -> dict[bytes, Named]:
        """Return what was proven since anything that counts last changed.

        Ask before proving, and keep what was proven in this very dictionary: were it kept in
        a later one, a change in between would be missed.
        """
        cache, versions = self._cache, self._versions()
        if cache.versions is not versions:
            # Most writes, each used proof among them, concern no token that was proven before.
            relevant = tuple(versions.get(topic, 0) for topic in _TOPICS)
            by_digest = cache.by_digest if relevant == cache.relevant else {}
            cache = self._cache = _Cache(versions, relevant, by_digest)
        return cache.by_digest


def find(known: dict[bytes, Named], digest: bytes, now: float) -> Named | None:
    """Return what is known of a token, if that still stands."""
    named = known.get(digest)
    if named is None or now >= named.ends:
        return None
    if named.issuer is None or named.keys is None:
        return named
    return named if named.issuer.source.believes(named.keys) else None


def keep(known: dict[bytes, Named], digest: bytes, named: Named) -> None:
    """Remember a token."""
    if len(known) >= SIZE:
        # Tokens are short-lived: what fills the memory is mostly past.
        known.clear()
    known[digest] = named
