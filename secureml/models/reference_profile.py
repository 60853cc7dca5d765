"""What usual rows and answers look like, in numbers that the signed card carries.

Learned at sealing from the table the model was fitted on, so that whoever watches requests
knows what is usual before the first one comes. Summaries only: no row of the table is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

WIDTH = 64  # most columns rows are compared by; wider rows are folded into so many
RING = 128  # how many recent rows a new one is compared with
MARGINS = (0.01, 0.02, 0.05, 0.1, 0.2)
STRANGE = (0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0)
RAYLEIGH_LEVELS = (0.8, 0.9, 0.95, 0.99)
SHARES = (0.5, 0.9, 0.95, 0.99)
NEAR = (0.002, 0.01, 0.02, 0.05, 0.1)
DECILES = tuple(level / 10 for level in range(1, 10))
BINS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)

NEWER = frozenset({"rayleigh", "step_rayleigh"})  # what cards of before do not have

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """Summaries of the reference table; distances are in units of robust deviations.

    ``numbers`` and ``words`` are the columns compared, as places in the card's features;
    ``skipped`` those that are not. ``centre`` and ``scale`` belong to ``numbers``.
    ``bins`` are quantile edges (levels BINS) of each compared number.
    ``mean`` and ``whiten`` give the Mahalanobis distance of an encoded row, ``mahalanobis`` its
    quantiles (levels STRANGE) on rows that were not used for them.
    ``rayleigh`` are quantiles (levels RAYLEIGH_LEVELS) of its square over the square of the
    plain distance, on such rows, too: how far a row lies in directions that real rows hardly
    take. ``step_rayleigh`` is the same of the step from a row to its nearest of RING others.
    Both are None in cards that were sealed before there were such measures.
    ``near`` are quantiles (levels NEAR) of the distance to the nearest of RING other rows,
    ``apart`` for each class the deciles of that to rows answered alike.
    ``changed`` is the share of columns in which a row differs from its nearest, at 2 %.
    ``margins`` are quantiles (levels MARGINS) of the lead of the best answer over the next.
    ``outer`` and ``inner`` are quantiles (levels SHARES) of the share of a row's numbers beyond
    the outer bins, and between the quartiles.
    ``collides`` is how often two different usual rows share a fingerprint.
    """

    rows: int
    numbers: tuple[int, ...]
    words: tuple[int, ...]
    skipped: tuple[str, ...]
    centre: Numbers
    scale: Numbers
    bins: tuple[Numbers, ...]
    mean: Numbers
    whiten: tuple[Numbers, ...]
    mahalanobis: Numbers
    near: Numbers
    class_distances: tuple[Numbers, ...]
    changed: float
    margins: Numbers | None
    outer: Numbers
    inner: Numbers
    collides: float
    rayleigh: Numbers | None = None
    step_rayleigh: Numbers | None = None


def read_reference(raw: Any, width: int) -> Reference:
    """Return the reference of a card with ``width`` features; raises ValueError or TypeError."""
    wanted = {field.name for field in fields(Reference)}
    if type(raw) is not dict or raw.keys() | NEWER != wanted:
        raise ValueError("the reference has unknown or missing keys")
    found = Reference(**{key: _frozen(value) for key, value in raw.items()})
    columns = len(found.mean)
    rules = (
        type(found.rows) is int and found.rows > 0,
        _indices(found.numbers, width) and _indices(found.words, width),
        all(type(name) is str for name in found.skipped),
        _finite(found.centre, len(found.numbers)) and _finite(found.scale, len(found.numbers)),
        all(scale > 0 for scale in found.scale),
        len(found.bins) == len(found.numbers),
        all(_finite(edges, len(BINS)) for edges in found.bins),
        0 < columns <= WIDTH and _finite(found.mean, columns),
        len(found.whiten) == columns and all(_finite(row, columns) for row in found.whiten),
        _finite(found.mahalanobis, len(STRANGE)) and _finite(found.near, len(NEAR)),
        len(found.class_distances) > 0
        and all(_finite(row, len(DECILES)) for row in found.class_distances),
        found.margins is None or _finite(found.margins, len(MARGINS)),
        _finite(found.outer, len(SHARES)) and _finite(found.inner, len(SHARES)),
        all(
            one is None or _finite(one, len(RAYLEIGH_LEVELS))
            for one in (found.rayleigh, found.step_rayleigh)
        ),
        _finite((found.changed, found.collides), 2),
    )
    if not all(rules):
        raise ValueError("the reference does not fit the card")
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
