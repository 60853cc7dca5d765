"""Rows compared with those that the subject sent before: nearest neighbours and fingerprints.

Five detectors: ``nearest`` (Chen, Carlini, Wagner, "Stateful Detection of Black-Box Adversarial
Attacks", 2019), ``label_flip``, ``fingerprints`` (Blacklight: Li et al., USENIX Security 2022),
``prada`` (Juuti et al., "PRADA", arXiv 1805.02628, its deciles from the card instead of assumed
normal) and ``step``, the Rayleigh quotient of the step from the nearest neighbour.

A single row is compared with Python's numbers and a batch with NumPy's tables: a table of one
row costs forty calls for nothing. Both agree, and with a slow reference in the tests, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import numpy as np

from .batch import EncodedBatch
from .client_state import RING, ClientState
from .detectors import FINGERPRINTS, LABEL_FLIP, NEAREST, PRADA, STEP
from .feature_space import FeatureSpace

Numbers = np.ndarray[Any, Any]

CHUNK = 128  # rows compared at once: more would not fit the processor's cache
_LINES = np.arange(CHUNK)
# Added to squares, rows of a batch against the ring from its oldest row on and then the batch:
# a row has RING rows before it, and neither those further back nor itself nor what comes later.
_BEHIND = np.arange(RING, RING + CHUNK)[:, None] - np.arange(RING + CHUNK)
_BAND = np.where((_BEHIND > 0) & (_BEHIND <= RING), 0.0, np.inf)
_SAME = 1e-6  # a step smaller than this is none: nobody hides which columns he varies behind it


class Neighbours:
    """Puts rows into bins by the card's distances between rows."""

    def __init__(self, space: FeatureSpace) -> None:
        profile = space.profile
        self._space, self._width = space, space.width
        # Drift moves all rows one way; only short steps tell an attacker from a season.
        self._step = profile.step[0:3:2]
        self._short = profile.nearest[4]
        self._nearest = profile.nearest[0:3:2]
        # A row that differs from its nearest in so few columns is a variation of it.
        changed = profile.changed if space.numeric_only else 0.0
        self._few_columns = min(changed * 0.5, 0.34) * self._width if changed > 0 else 0.0
        self._deciles = profile.class_distances
        self._decile_table = np.array(profile.class_distances)
        self._use_fingerprints = profile.collisions < 0.02

    def compare_one(self, batch: EncodedBatch, state: ClientState, found: list[int]) -> None:
        """Fill in the bins of one row, (detectors,), compared with the rows before it."""
        label = int(batch.labels[0])
        matches = state.matches_fingerprint(batch.bands[0])
        if self._use_fingerprints:
            found[FINGERPRINTS] = matches
        earlier, labels = state.recent(self._width)
        if not len(earlier):
            return
        differences = earlier - batch.rows.astype(np.float32)
        squares = np.einsum("ij,ij->i", differences, differences)
        index = int(squares.argmin())
        distance = math.sqrt(squares[index])
        if not math.isfinite(distance):
            return  # a damaged record: nobody is near to what is no number
        close = 2 - bisect_left(self._nearest, distance)
        if close < 1 and self._few_columns and _changed(differences[index]) <= self._few_columns:
            close = 1
        flips = state.label_view[index] != label
        found[NEAREST], found[LABEL_FLIP] = close, int(close > 0 and flips)
        found[STEP] = 0
        if distance < self._short:
            found[STEP] = bisect_left(self._step, self._space.step_one(differences[index])[1])
        if flips:
            alike = squares[labels == label]
            if not len(alike):
                return
            distance = math.sqrt(np.minimum.reduce(alike))
        found[PRADA] = bisect_left(self._deciles[label], distance)

    def compare(self, batch: EncodedBatch, state: ClientState, found: Numbers) -> None:
        """Do the same for a batch, (rows, detectors); rows before a row in it count, too."""
        matches = [state.matches_fingerprint(bands) for bands in batch.bands]
        if self._use_fingerprints:
            found[:, FINGERPRINTS] = matches
        rows, labels = self._with_earlier(batch, state)
        squares = _squared_distances(rows, len(batch))
        mine = rows[len(rows) - len(batch) :]
        index = squares.argmin(axis=1)
        known = np.isfinite(squares[_LINES[: len(batch)], index])
        differences = mine - rows[index]
        distances = np.sqrt(np.einsum("ij,ij->i", differences, differences))
        close = 2 - np.searchsorted(self._nearest, distances)
        if self._few_columns:
            close[(_changed(differences, axis=1) <= self._few_columns) & (close < 1)] = 1
        flips = labels[index] != batch.labels
        found[:, NEAREST] = np.where(known, close, -1)
        found[:, LABEL_FLIP] = np.where(known, (close > 0) & flips, -1)
        steps = np.searchsorted(self._step, self._space.step(differences)[1])
        steps[distances >= self._short] = 0
        found[:, STEP] = np.where(known, steps, -1)
        squares[labels != batch.labels[:, None]] = np.inf
        alike = np.minimum.reduce(squares, axis=1)
        deciles = self._decile_table[batch.labels]
        scores = np.add.reduce(np.sqrt(np.maximum(alike, 0.0))[:, None] > deciles, axis=1)
        found[:, PRADA] = np.where(np.isfinite(alike), scores, -1)

    def _with_earlier(self, batch: EncodedBatch, state: ClientState) -> tuple[Numbers, Numbers]:
        """Return the kept rows, oldest first, followed by the batch, and the labels of all."""
        earlier, labels = state.recent(self._width)
        oldest = state.values["kept"][0] % RING if len(earlier) == RING else 0
        mine = batch.rows.astype(np.float32).astype(np.float64)
        return (
            np.concatenate([earlier[oldest:], earlier[:oldest], mine]),
            np.concatenate([labels[oldest:], labels[:oldest], batch.labels]),
        )


def _squared_distances(rows: Numbers, new: int) -> Numbers:
    """Return (new, rows) squared distances of the last ``new`` rows to all, inf outside the band.

    By |a - b|^2 = |a|^2 + |b|^2 - 2ab: one matrix product instead of a table of differences. In
    double precision: the difference of two squares is what near rows have left of it.
    """
    earlier = len(rows) - new
    lengths = np.einsum("ij,ij->i", rows, rows)
    squares: Numbers = rows[earlier:] @ (-2.0 * rows.T)
    squares += lengths
    squares += lengths[earlier:, None]
    squares += _BAND[:new, RING - earlier : RING + new]
    return squares


def _changed(differences: Numbers, axis: int | None = None) -> Any:
    """Return in how many columns a row differs from its neighbour."""
    return np.count_nonzero(np.abs(differences) > _SAME, axis=axis)
