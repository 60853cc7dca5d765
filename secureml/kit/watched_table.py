"""What a table of the store holds, read again only when the store says that it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from secureml.kit.protocols import Store

T = TypeVar("T")


class WatchedTable(Generic[T]):
    """The contents of one topic, safe for many threads; a request that finds no change pays a look.

    ``read`` returns the contents; it is called outside any lock, possibly twice in parallel.
    """

    def __init__(self, store: Store, topic: str, read: Callable[[], T]) -> None:
        self._store, self._topic, self._read = store, topic, read
        self._versions: Mapping[str, int] | None = None
        self._known: tuple[int, T] | None = None

    def current(self) -> T:
        """Return the contents as of the newest change; raises what the store raises."""
        versions, known = self._store.versions(), self._known
        if known is not None and versions is self._versions:
            return known[1]
        # The counter is read before the rows: a change in between is then read once more,
        # where the other order would miss it until the next.
        version = versions.get(self._topic, 0)
        if known is None or known[0] != version:
            known = self._known = (version, self._read())
        self._versions = versions
        return known[1]

    def last(self) -> T | None:
        """Return what was last read, None before the first time; reads nothing."""
        return None if self._known is None else self._known[1]
