"""The keys of one chain: the one that seals from now on, and those that sealed before it.

A former key proves what it sealed and nothing after: a chain never goes back to an earlier key,
so whoever has got hold of one can write no record behind the first of its successor. Knows no
Flask and no SecureML.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import line


class Keys:
    """``former`` are in the order in which they sealed, the oldest first."""

    def __init__(self, current: bytes, former: Sequence[bytes] = ()) -> None:
        self.current = current
        self._order = {line.key_id(key): key for key in (*former, current)}
        self._ids = {key: name for name, key in self._order.items()}

    def named(self, key_id: object) -> bytes | None:
        """Return the key of that name, None where it is not ours."""
        return self._order.get(str(key_id))

    def id_of(self, key: bytes) -> str:
        """Return the name of one of these keys."""
        return self._ids[key]

    def runs_before(self, one: bytes, other: bytes) -> bool:
        """Tell whether ``one`` sealed before ``other`` did."""
        order = list(self._order.values())
        return order.index(one) < order.index(other)
