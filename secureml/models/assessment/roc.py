"""How well scores tell members from others: area under the ROC curve, and its first part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import rankdata

Array = np.ndarray[Any, Any]
FEW = 100  # others: with fewer, one in a hundred is less than one row


def auc(members: Array, others: Array) -> float:
    """Return how often a member has a higher score than another row; ties count half."""
    ranks = rankdata(np.concatenate([members, others]))
    wins = ranks[: len(members)].sum() - len(members) * (len(members) + 1) / 2
    return float(wins / (len(members) * len(others)))


def standard_error(area: float, members: int, others: int) -> float:
    """Return the standard error of an area (Hanley and McNeil 1982)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    square = area * (1 - area) + (members - 1) * (one - area**2) + (others - 1) * (two - area**2)
    return math.sqrt(max(square, 0.0) / (members * others))


def true_positives(members: Array, others: Array, false_positives: float = 0.01) -> float | None:
    """Return the share of members above a score that at most so many others are above.

    None with fewer than `FEW` others.
    """
    if len(others) < FEW:
        return None
    allowed = math.floor(false_positives * len(others))
    threshold = np.sort(others)[len(others) - allowed - 1]
    return float((members > threshold).mean())
