"""Confidence margins of answers, and coarser probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LABELS, ROUNDED = "labels", "rounded"
DECIMALS = 1  # of probabilities that are rounded
Probabilities = Sequence[Sequence[float | None]]


def margins(probabilities: Probabilities | None) -> np.ndarray[Any, Any] | None:
    """Return each row's margin, (n,): its best probability less the next, 0 to 1.

    ``probabilities`` is (n, classes), None or NaN where another plugin withheld one. Returns None
    without two classes.
    """
    if probabilities is None or len(probabilities[0]) < 2:
        return None
    if len(probabilities) == 1:
        *_, second, first = sorted(
            0.0 if each is None or math.isnan(each) else each for each in probabilities[0]
        )
        return np.array((first - second,))
    known = np.nan_to_num(np.array(probabilities, dtype=float), nan=0.0)
    best = np.partition(known, -2, axis=1)
    lead: np.ndarray[Any, Any] = best[:, -1] - best[:, -2]
    return lead


def coarsen(probabilities: Probabilities | None, mode: str) -> list[list[float | None]] | None:
    """Return (n, classes) probabilities to one decimal, or None: labels alone."""
    if mode == LABELS or probabilities is None:
        return None
    return [
        [None if each is None else round(each, DECIMALS) for each in row] for row in probabilities
    ]
