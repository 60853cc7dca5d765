"""The quantile bins of a model's numeric features: what is usual, for drift to be measured against.

Learned from the table when a model is sealed, and read from its signed card at the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from secureml.kit.protocols import Card, Training

LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # the quantiles at which the edges are
LEAST_ROWS = 30  # fewer say too little about what is usual
SECTION = "anomaly"


class FeatureBins(NamedTuple):
    """``columns`` are places in the card's features, ``edges`` seven quantiles of each."""

    columns: tuple[int, ...]
    edges: tuple[tuple[float, ...], ...]


def bins_of(card: Card) -> FeatureBins | None:
    """Return the bins on a card, None where it has none."""
    section = card.sections.get(SECTION)
    return None if section is None else read_bins(section.private, len(card.features))


def learn_bins(training: Training) -> FeatureBins | None:
    """Return the quantiles of each numeric feature over the rows in which it is not missing.

    Infinite values are left out: edges at them would be refused when the model is loaded.
    """
    columns, edges = [], []
    for place, feature in enumerate(training.card.features if training.columns else ()):
        if not feature.is_number:
            continue
        values = training.columns[feature.name]
        known = [value for value in values if value is not None and math.isfinite(value)]
        if len(known) >= LEAST_ROWS:
            columns.append(place)
            found = np.quantile(np.array(known, dtype=np.float64), LEVELS)
            edges.append(tuple(float(f"{edge:.6g}") for edge in found))
    return FeatureBins(tuple(columns), tuple(edges)) if columns else None


def read_bins(raw: Mapping[str, Any], width: int) -> FeatureBins:
    """Return the bins of a card with ``width`` features; raises ValueError or TypeError."""
    if set(raw) != {"columns", "edges"}:
        raise ValueError("it has other keys than columns and edges")
    columns, edges = raw["columns"], raw["edges"]
    if not columns or len(columns) != len(edges):
        raise ValueError("columns and edges differ in number")
    if any(type(place) is not int or not 0 <= place < width for place in columns):
        raise ValueError("a column is none of the model's features")
    for each in edges:
        numbers = all(type(edge) is float and math.isfinite(edge) for edge in each)
        if len(each) != len(LEVELS) or not numbers or sorted(each) != each:
            raise ValueError("the edges of a feature are not seven rising numbers")
    return FeatureBins(tuple(columns), tuple(map(tuple, edges)))
