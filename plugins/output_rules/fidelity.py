"""How fine an answer is, and how it is made coarser: never the other way.

Each step takes away: probabilities that are withheld stay in their place as None, so that an
answer keeps the shape of the model's classes whoever reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Shares = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What is left of an answer.

    ``probabilities`` is whether there are any, ``top`` how many of each row (None: all),
    ``decimals`` to how many places numbers are rounded (None: as the model computed them).
    """

    probabilities: bool = True
    top: int | None = None
    decimals: int | None = None

    @property
    def full(self) -> bool:
        """Tell whether nothing is taken away."""
        return self.probabilities and self.top is None and self.decimals is None


LABELS = Fidelity(probabilities=False)
FULL = Fidelity()


def coarsen(
    predictions: list[Any], probabilities: Shares | None, fidelity: Fidelity, *, amounts: bool
) -> tuple[list[Any], Shares | None]:
    """Return the answer as coarse as ``fidelity``; the lists that came in are not changed.

    ``amounts`` says that predictions are numbers to be rounded and not names of classes.
    """
    if amounts and fidelity.decimals is not None:
        predictions = _rounded([predictions], fidelity.decimals)[0]
    if probabilities is None or not fidelity.probabilities:
        return predictions, None
    # The highest are chosen before they are rounded: rounding makes ties.
    if fidelity.top is not None:
        probabilities = [_highest(row, fidelity.top) for row in probabilities]
    if fidelity.decimals is not None:
        probabilities = _rounded(probabilities, fidelity.decimals)
    return predictions, probabilities


def _highest(row: list[Any], count: int) -> list[Any]:
    """Return a row with all but its highest values withheld; of equals, the first stay."""
    known = [place for place, share in enumerate(row) if share is not None]
    kept = set(sorted(known, key=lambda place: -row[place])[:count])
    return [share if place in kept else None for place, share in enumerate(row)]


def _rounded(rows: Shares, decimals: int) -> Shares:
    """Return every number as the double nearest to its rounding; None stays None."""
    values = np.array(rows, dtype=np.float64)  # None becomes NaN
    near: Shares = np.round(values, decimals).tolist()
    if not np.isnan(values).any():
        return near
    return [
        [None if value is None else share for value, share in zip(row, shares, strict=True)]
        for row, shares in zip(rows, near, strict=True)
    ]
