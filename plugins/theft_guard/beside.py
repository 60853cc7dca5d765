"""What rows are beside those a party sent before: near ones, small steps, and how far apart.

A single row is compared with Python's numbers and a batch with NumPy's tables: a table of one
row costs forty calls for nothing. Both say the same, and a slow third one in the tests, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import numpy as np

from .memory import RING, Memory
from .names import CHAIN, NEAR, PRINTS, SPACING, STRIDE
from .seen import Reference, Ruler, Seen

Numbers = np.ndarray[Any, Any]

CHUNK = 128  # rows compared at once: more would not fit the processor's cache
_LINES = np.arange(CHUNK)
# Added to squares, rows of a batch against the ring from its oldest row on and then the batch:
# a row has RING rows before it, and neither those further back nor itself nor what comes later.
_BEHIND = np.arange(RING, RING + CHUNK)[:, None] - np.arange(RING + CHUNK)
_BAND = np.where((_BEHIND > 0) & (_BEHIND <= RING), 0.0, np.inf)
_SAME = 1e-6  # a step smaller than this is none: nobody hides which columns he varies behind it


class Beside:
    """The card's distances, and how rows are put into bins by them."""

    def __init__(self, ruler: Ruler) -> None:
        known: Reference = ruler.reference
        self._ruler, self._width = ruler, ruler.width
        # Drift puts all steps on a slant; only short ones tell an attacker from a season.
        self._stride = None if known.stride is None else known.stride[0:3:2]
        self._short = known.near[4]
        self._near = known.near[0:3:2]
        # A row that differs from its nearest in so few columns is a variation of it.
        few = min(known.changed * 0.5, 0.34) if known.changed > 0 and ruler.plain else 0.0
        self._few = few * self._width
        self._apart, self._deciles = np.array(known.apart), known.apart
        self._prints_tell = known.collides < 0.02

    def compare_one(self, seen: Seen, memory: Memory, found: list[int]) -> None:
        """Fill in what one row is beside those before it."""
        label = int(seen.labels[0])
        met = memory.meets(seen.bands[0])
        if self._prints_tell:
            found[PRINTS] = met
        known, answers = memory.recent(self._width)
        if not len(known):
            return
        apart = known - seen.encoded.astype(np.float32)
        squares = np.einsum("ij,ij->i", apart, apart)
        place = int(squares.argmin())
        gap = math.sqrt(squares[place])
        close = 2 - bisect_left(self._near, gap)
        if close < 1 and self._few and _moved(apart[place]) <= self._few:
            close = 1
        flips = memory.each_label[place] != label
        found[NEAR], found[CHAIN] = close, int(close > 0 and flips)
        if self._stride is not None:
            found[STRIDE] = 0
            if gap < self._short:
                found[STRIDE] = bisect_left(self._stride, self._ruler.rayleigh_one(apart[place])[1])
        if flips:
            alike = squares[answers == label]
            if not len(alike):
                return
            gap = math.sqrt(np.minimum.reduce(alike))
        found[SPACING] = bisect_left(self._deciles[label], gap)

    def compare(self, seen: Seen, memory: Memory, found: Numbers) -> None:
        """Do the same for a batch; a row is beside rows before it, its own batch included."""
        met = [memory.meets(bands) for bands in seen.bands]
        if self._prints_tell:
            found[:, PRINTS] = met
        known, answers = memory.recent(self._width)
        many, here, lines = len(known), len(seen), _LINES[: len(seen)]
        oldest = memory.one["kept"][0] % RING if many == RING else 0
        # In double precision: the difference of two squares is what near rows have left of it.
        rows = seen.encoded.astype(np.float32).astype(np.float64)
        known = np.concatenate([known[oldest:], known[:oldest], rows])
        answers = np.concatenate([answers[oldest:], answers[:oldest], seen.labels])
        lengths = np.einsum("ij,ij->i", known, known)
        squares = rows @ (-2.0 * known.T)
        squares += lengths
        squares += lengths[many:, None]
        squares += _BAND[:here, RING - many : RING + here]
        place = squares.argmin(axis=1)
        told = np.isfinite(squares[lines, place])
        apart = rows - known[place]
        gaps = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        close = 2 - np.searchsorted(self._near, gaps)
        if self._few:
            close[(_moved(apart, axis=1) <= self._few) & (close < 1)] = 1
        flips = answers[place] != seen.labels
        found[:, NEAR] = np.where(told, close, -1)
        if self._stride is not None:
            steps = np.searchsorted(self._stride, self._ruler.rayleigh(apart)[1])
            steps[gaps >= self._short] = 0
            found[:, STRIDE] = np.where(told, steps, -1)
        found[:, CHAIN] = np.where(told, (close > 0) & flips, -1)
        squares[answers != seen.labels[:, None]] = np.inf
        alike = np.minimum.reduce(squares, axis=1)
        told = np.isfinite(alike)
        alike = np.sqrt(np.maximum(alike, 0.0))
        spacing = np.add.reduce(alike[:, None] > self._apart[seen.labels], axis=1)
        found[:, SPACING] = np.where(told, spacing, -1)


def _moved(apart: Numbers, axis: int | None = None) -> Any:
    return np.count_nonzero(np.abs(apart) > _SAME, axis=axis)
