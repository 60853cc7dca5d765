"""What a card holds of a model's uncertainty, and what is told of an answer by it.

Everything that is told of an answer is computed of the answer as the caller sees it, so it tells
nothing that the caller could not compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.kit.protocols import Card

from .conformal import COVERAGES
from .distance import Distance, read_distance

SECTION = "uncertainty"
# Shares of rows like those of the calibration that are flagged by mistake.
FALSE_FLAG_RATES = (0.05, 0.01)
_PUBLIC = {"calibration_rows", "coverages", "false_flag_rates"}
_PRIVATE = {"digest", "known_rows", "thresholds", "distance", "distances"}


@dataclass(frozen=True)
class Calibration:
    """The numbers of one model; ``thresholds`` by coverage, ``distances`` by false-flag rate.

    A threshold is a score (see `conformal`) of a classifier, or half the width of an interval.
    ``known_rows`` of the ``rows`` are in the table that the model was fitted on, too; ``digest``
    is the SHA-256 of their file.
    """

    rows: int
    thresholds: Mapping[float, float]
    distance: Distance | None
    distances: Mapping[float, float]
    known_rows: int = 0
    digest: str = ""

    def to_public(self) -> dict[str, Any]:
        """Return what clients see: of how many rows, and what can be served."""
        return {
            "calibration_rows": self.rows,
            "coverages": list(self.thresholds),
            "false_flag_rates": list(self.distances),
        }

    def to_private(self) -> dict[str, Any]:
        """Return what they do not."""
        return {
            "digest": self.digest,
            "known_rows": self.known_rows,
            "thresholds": list(self.thresholds.values()),
            "distance": None if self.distance is None else self.distance.to_json(),
            "distances": list(self.distances.values()),
        }


def calibration_of(card: Card) -> Calibration | None:
    """Return the calibration on a card, None where it has none."""
    section = card.sections.get(SECTION)
    if section is None:
        return None
    return read_calibration(section.public, section.private, len(card.features))


def read_calibration(
    public: Mapping[str, Any], private: Mapping[str, Any], width: int
) -> Calibration:
    """Return the calibration of a card with ``width`` features; raises ValueError or TypeError."""
    if set(public) != _PUBLIC or set(private) != _PRIVATE:
        raise ValueError("it has other keys than a calibration")
    raw = private["distance"]
    rows = public["calibration_rows"]
    known = private["known_rows"]
    if type(rows) is not int or type(known) is not int or not 0 <= known <= rows:
        raise ValueError("it does not say with how many rows it was calibrated")
    if type(private["digest"]) is not str:
        raise ValueError("it does not say which rows it was calibrated with")
    distances = _by_level(public["false_flag_rates"], private["distances"], FALSE_FLAG_RATES)
    if (raw is None) != (not distances):
        raise ValueError("a distance and its thresholds do not belong together")
    return Calibration(
        rows,
        _by_level(public["coverages"], private["thresholds"], COVERAGES),
        None if raw is None else read_distance(raw, width),
        distances,
        known,
        private["digest"],
    )


def _by_level(
    levels: Sequence[Any], values: Sequence[Any], known: Sequence[float]
) -> dict[float, float]:
    if len(levels) != len(values) or any(level not in known for level in levels):
        raise ValueError("thresholds are not those of known levels")
    if any(type(value) is not float or not 0 <= value < float("inf") for value in values):
        raise ValueError("a threshold is not a number of zero or more")
    return dict(zip(levels, values, strict=True))


def prediction_sets(
    probabilities: Sequence[Sequence[float | None]],
    classes: Sequence[Any],
    threshold: float,
    decimals: int | None = None,
) -> list[list[Any] | None]:
    """Return for each row the classes whose score, one less the probability, is small enough.

    Rounded probabilities stand for all that are rounded to them, so the set is never smaller than
    that of exact ones. Where some are withheld, the set is told only if those that are seen settle
    it: no withheld one is larger than the smallest that is seen. Else it is None.
    """
    most = threshold + half_step(decimals)
    shares = np.array(probabilities, dtype=np.float64)
    inside = 1 - shares <= most
    found: list[list[Any] | None] = [
        [label for label, is_in in zip(classes, row, strict=True) if is_in]
        for row in inside.tolist()
    ]
    withheld = np.isnan(shares)
    if withheld.any():
        for place in np.flatnonzero(withheld.any(axis=1)):
            seen = shares[place][~withheld[place]]
            if not seen.size or 1 - seen.min() <= most:
                found[place] = None
    return found


def intervals(
    predictions: Sequence[float], threshold: float, decimals: int | None = None
) -> list[list[float] | None]:
    """Return for each prediction the interval around it, wider by what was rounded away."""
    half = threshold + half_step(decimals)
    return [[prediction - half, prediction + half] for prediction in predictions]


def half_step(decimals: int | None) -> float:
    """Return how far a number may be from what it was before it was rounded."""
    return 0.0 if decimals is None else 0.5 * 10.0**-decimals * (1 + 1e-9)
