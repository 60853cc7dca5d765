"""The keys of one chain: the current one, and the former ones.

A former key verifies its own records and nothing later: a chain never returns to an earlier key,
so a stolen former key cannot write records after the first one of its successor. Knows no
Flask and no SecureML.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import codec


class Keyring:
    """``former`` are in the order in which they sealed, the oldest first."""

    def __init__(self, current: bytes, former: Sequence[bytes] = ()) -> None:
        self.current = current
        self._order = {codec.key_id(key): key for key in (*former, current)}
        self._ids = {key: name for name, key in self._order.items()}

    def named(self, key_id: object) -> bytes | None:
        """Return the key of that id, None where it is unknown."""
        return self._order.get(str(key_id))

    def id_of(self, key: bytes) -> str:
        """Return the id of one of these keys."""
        return self._ids[key]

    def runs_before(self, one: bytes, other: bytes) -> bool:
        """Return whether ``one`` is an earlier key than ``other``."""
        order = list(self._order.values())
        return order.index(one) < order.index(other)
