"""How far what is asked has moved from what the model was made with, feature by feature.

The population stability index (PSI; Siddiqi 2006): rows are counted into the quantile bins of
the signed card, whose shares are known, and the index says how unlike the shares are now.
Below 0.1 is nothing, above 0.25 the model answers about another world than it learned from.

Counts of several workers add up exactly. Values are not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # the quantiles that a card's edges stand at
SHARES = np.diff([0.0, *LEVELS, 1.0])
LEAST = 200  # rows; of fewer the index says more about chance than about the world
_MOST_ROWS = 1000  # of one request

Counts = np.ndarray[Any, np.dtype[np.int64]]


class _Reference(Protocol):
    @property
    def numbers(self) -> Sequence[int]: ...
    @property
    def bins(self) -> Sequence[Sequence[float]]: ...


class _Card(Protocol):
    @property
    def reference(self) -> _Reference | None: ...
    @property
    def features(self) -> Sequence[Any]: ...


class Moved(NamedTuple):
    """One feature's index, and of how many rows."""

    feature: str
    psi: float
    rows: int


class Bins:
    """The bins of one card; ``names`` are the features that are counted."""

    def __init__(self, card: _Card, reference: _Reference) -> None:
        self._columns = np.array(reference.numbers, dtype=np.intp)
        self._edges = np.array(reference.bins, dtype=float).reshape(-1, len(LEVELS)).T
        self.names = tuple(card.features[place].name for place in reference.numbers)
        self._every = np.arange(len(self.names))

    def empty(self) -> Counts:
        """Return counts of nothing, (features, bins)."""
        return np.zeros((len(self.names), len(SHARES)), dtype=np.int64)

    def add(self, counts: Counts, rows: Any) -> None:
        """Count rows, at most a thousand of one request; missing values are in no bin."""
        taken = _numbers(rows, self._columns)
        if len(taken) == 1:
            place = (taken[0] > self._edges).sum(axis=0)
            counts[self._every, place] += ~np.isnan(taken[0])
            return
        place = (taken[:, None, :] > self._edges).sum(axis=1)
        place[np.isnan(taken)] = -1
        for number in range(len(SHARES)):
            counts[:, number] += (place == number).sum(axis=0)


def _numbers(rows: Any, columns: Any) -> Any:
    if not isinstance(rows, np.ndarray):
        return rows.iloc[:_MOST_ROWS, columns].to_numpy(dtype=float, na_value=np.nan)
    return rows[:_MOST_ROWS, columns].astype(float, copy=False)


def moved(names: Sequence[str], counts: Counts) -> list[Moved]:
    """Return the features by their index, the farthest first; [] where rows are too few."""
    found = []
    for name, bins in zip(names, counts, strict=True):
        rows = int(bins.sum())
        if rows >= LEAST:
            # Half a row in each bin, so that an empty one is no infinity.
            share = (bins + 0.5) / (rows + 0.5 * len(SHARES))
            psi = float(((share - SHARES) * np.log(share / SHARES)).sum())
            found.append(Moved(name, psi, rows))
    return sorted(found, key=lambda each: -each.psi)


class Tally:
    """What one worker has counted and not yet written, by model and version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bins: dict[tuple[str, str], Bins | None] = {}
        self._counts: dict[tuple[str, str], Counts] = {}

    def note(self, model: str, version: str, card: _Card, rows: Any) -> None:
        """Count the rows of an answered request; a card without a reference has no bins."""
        key = (model, version)
        if key not in self._bins:
            reference = card.reference
            self._bins[key] = Bins(card, reference) if reference is not None else None
        bins = self._bins[key]
        if bins is None:
            return
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = bins.empty()
            bins.add(counts, rows)

    def take(self) -> Mapping[tuple[str, str], Counts]:
        """Return what was counted since the last time."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def put_back(self, taken: Mapping[tuple[str, str], Counts]) -> None:
        """Keep what could not be written."""
        with self._lock:
            for key, counts in taken.items():
                self._counts[key] = self._counts.get(key, 0) + counts
