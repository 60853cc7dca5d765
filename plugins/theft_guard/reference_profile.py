"""What usual rows and answers look like, in numbers that the signed card carries.

Learned at sealing from the table the model was fitted on, so that what is usual is
known before the first request comes. Summaries only: no row of the table is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from secureml.kit.protocols import Card

WIDTH = 64  # most columns rows are compared by; wider rows are folded into so many
RECENT = 128  # how many recent rows a new one is compared with
MARGIN_LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2)
MAHALANOBIS_LEVELS = (0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0)
RAYLEIGH_LEVELS = (0.8, 0.9, 0.95, 0.99)
SHARE_LEVELS = (0.5, 0.9, 0.95, 0.99)
NEAREST_LEVELS = (0.002, 0.01, 0.02, 0.05, 0.1)
DECILES = tuple(level / 10 for level in range(1, 10))
BIN_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)

SECTION = "theft_guard"

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReferenceProfile:
    """Summaries of the reference table; distances are in units of robust deviations.

    ``numbers`` and ``words`` are the columns compared, as places in the card's features;
    ``skipped`` those that are not. ``centre`` and ``scale`` belong to ``numbers``.
    ``bins`` are quantile edges (levels BIN_LEVELS) of each compared number.
    ``mean`` and ``whitening`` give the Mahalanobis distance of an encoded row, ``mahalanobis`` its
    quantiles (levels MAHALANOBIS_LEVELS) on rows that were not used for them.
    ``rayleigh`` are quantiles (levels RAYLEIGH_LEVELS) of its square over the square of the
    plain distance, on such rows, too: how far a row lies in directions that real rows hardly
    take. ``step`` is the same of the step from a row to its nearest of RECENT others.
    ``nearest`` are quantiles (levels NEAREST_LEVELS) of the distance to the nearest of RECENT other
    rows, ``class_distances`` for each class the deciles of that to rows answered alike.
    ``changed`` is the share of columns in which a row differs from its nearest, at 2 %.
    ``margins`` are quantiles (levels MARGIN_LEVELS) of the lead of the best answer over the next.
    ``tails`` and ``central`` are quantiles (levels SHARE_LEVELS) of the share of a row's
    numbers in the outermost bins, and between the quartiles.
    ``collisions`` is how often two different usual rows share a fingerprint.
    """

    rows: int
    numbers: tuple[int, ...]
    words: tuple[int, ...]
    skipped: tuple[str, ...]
    centre: Numbers
    scale: Numbers
    bins: tuple[Numbers, ...]
    mean: Numbers
    whitening: tuple[Numbers, ...]
    mahalanobis: Numbers
    nearest: Numbers
    class_distances: tuple[Numbers, ...]
    changed: float
    margins: Numbers | None
    tails: Numbers
    central: Numbers
    collisions: float
    rayleigh: Numbers
    step: Numbers

    @property
    def columns(self) -> int:
        """How many numbers of a row are compared."""
        return len(self.bins)


def profile_of(card: Card) -> ReferenceProfile | None:
    """Return the profile on a card, None where it has none."""
    section = card.sections.get(SECTION)
    return None if section is None else read_profile(section.private, len(card.features))


def read_profile(raw: Any, width: int) -> ReferenceProfile:
    """Return the profile of a card with ``width`` features; raises ValueError or TypeError."""
    wanted = {field.name for field in fields(ReferenceProfile)}
    if type(raw) is not dict or raw.keys() != wanted:
        raise ValueError("the profile has unknown or missing keys")
    found = ReferenceProfile(**{key: _frozen(value) for key, value in raw.items()})
    columns = len(found.mean)
    rules = (
        type(found.rows) is int and found.rows > 0,
        _indices(found.numbers, width) and _indices(found.words, width),
        all(type(name) is str for name in found.skipped),
        _finite(found.centre, len(found.numbers)) and _finite(found.scale, len(found.numbers)),
        all(scale > 0 for scale in found.scale),
        len(found.bins) == len(found.numbers),
        all(_finite(edges, len(BIN_LEVELS)) for edges in found.bins),
        0 < columns <= WIDTH and _finite(found.mean, columns),
        len(found.whitening) == columns and all(_finite(row, columns) for row in found.whitening),
        _finite(found.mahalanobis, len(MAHALANOBIS_LEVELS)),
        _finite(found.nearest, len(NEAREST_LEVELS)),
        len(found.class_distances) > 0
        and all(_finite(row, len(DECILES)) for row in found.class_distances),
        found.margins is None or _finite(found.margins, len(MARGIN_LEVELS)),
        _finite(found.tails, len(SHARE_LEVELS)) and _finite(found.central, len(SHARE_LEVELS)),
        _finite(found.rayleigh, len(RAYLEIGH_LEVELS)),
        _finite(found.step, len(RAYLEIGH_LEVELS)),
        _finite((found.changed, found.collisions), 2),
    )
    if not all(rules):
        raise ValueError("the profile does not fit the card")
    return found


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if type(value) is list else value


def _indices(found: Any, width: int) -> bool:
    return type(found) is tuple and all(type(one) is int and 0 <= one < width for one in found)


def _finite(found: Any, length: int) -> bool:
    return (
        type(found) is tuple
        and len(found) == length
        and all(type(one) in (int, float) and math.isfinite(one) for one in found)
    )
