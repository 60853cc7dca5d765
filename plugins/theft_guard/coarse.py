"""How sure an answer was, and how to say less of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LABELS, ROUNDED = "labels", "rounded"
Shares = Sequence[Sequence[float | None]]


def margins(shares: Shares | None) -> np.ndarray[Any, Any] | None:
    """Return the lead of each row's best class over the next; None without two classes."""
    if shares is None or len(shares[0]) < 2:
        return None
    # What another plugin has withheld is no answer that could lead.
    if len(shares) == 1:
        *_, second, first = sorted(
            0.0 if share is None or math.isnan(share) else share for share in shares[0]
        )
        return np.array((first - second,))
    told = np.nan_to_num(np.array(shares, dtype=float), nan=0.0)
    best = np.partition(told, -2, axis=1)
    lead: np.ndarray[Any, Any] = best[:, -1] - best[:, -2]
    return lead


def coarser(shares: Shares | None, how: str) -> list[list[float | None]] | None:
    """Return probabilities to one decimal, or none of them."""
    if how == LABELS or shares is None:
        return None
    return [[None if share is None else round(share, 1) for share in row] for row in shares]
