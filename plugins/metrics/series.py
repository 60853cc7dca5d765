"""The series of one metric: looked up once each, and never more than a fixed number.

Finding a series by its labels costs the library several times what counting does, so each is
kept by its tuple of labels. A label that somebody outside could choose would fill the memory
of server and Prometheus alike: beyond the limit everything counts as one series, ``other``.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

OTHER = "other"
MOST = 1000  # series of one metric in one worker

Child = TypeVar("Child")


class _Family(Protocol):
    def labels(self, *values: Any) -> Any: ...


class Series(Generic[Child]):
    """The series of one labelled metric of prometheus_client, by their labels."""

    def __init__(self, family: _Family, width: int, most: int = MOST) -> None:
        self._family, self._most = family, most
        self._other = (OTHER,) * width
        self._known: dict[tuple[Any, ...], Child] = {}

    def of(self, *labels: Any) -> Child:
        """Return the series of these labels, or that of all the rest when there are too many."""
        found = self._known.get(labels)
        if found is not None:
            return found
        if len(self._known) >= self._most:
            labels = self._other
            if labels in self._known:
                return self._known[labels]
        # Two threads may both get here; the library gives both the same series.
        made: Child = self._family.labels(*labels)
        self._known[labels] = made
        return made
