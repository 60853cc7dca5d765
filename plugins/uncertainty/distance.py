"""How far a row is from those that the model was made for: a Mahalanobis distance.

To the nearest of several means with one covariance, as Lee et al. (NeurIPS 2018) measure it for
classifiers, here in the columns themselves: the means are those of rows with one answer. It is
never less than what a single column contributes, so a value far out of its range is far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Table = np.ndarray[Any, Any]
MOST_COLUMNS = 100  # more are measured one by one: their covariance would fill the card
_MOST_MEANS, _LEAST_ROWS = 50, 10
_FLOOR = 0.01  # of the mean variance: below it, a direction is noise of the table's own
_KEYS = {"columns", "centre", "scale", "means", "whitening"}


@dataclass(frozen=True)
class Distance:
    """``columns`` are places of numeric features, as many as the ``width``.

    ``centre`` and ``scale``, (width,), are in the columns' units; ``means``, (groups, width), and
    ``whitening``, (width, width) or None, are of values less the centre over the scale.
    """

    columns: tuple[int, ...]
    centre: Table
    scale: Table
    means: Table
    whitening: Table | None

    def __call__(self, rows: Any) -> Table:
        """Return the distance of each row as the model takes rows, (rows,); none has a unit.

        A value that is missing counts as the centre of its column.
        """
        table = numbers_of(rows, self.columns)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.where(np.isnan(table), 0.0, (table - self.centre) / self.scale)
            apart = scaled[:, None, :] - self.means[None]
            if self.whitening is not None:
                apart = apart @ self.whitening
            found: Table = np.sqrt((apart**2).sum(axis=2)).min(axis=1)
        # What no double can hold is far.
        return np.where(np.isnan(found), math.inf, found)

    def to_json(self) -> dict[str, Any]:
        """Return what `read_distance` reads; six digits each, for a card need not be large."""
        return {
            "columns": list(self.columns),
            "centre": _short(self.centre),
            "scale": _short(self.scale),
            "means": _short(self.means),
            "whitening": None if self.whitening is None else _short(self.whitening),
        }


def learn_distance(rows: Any, columns: Sequence[int], answers: Sequence[Any]) -> Distance:
    """Return the distance from these rows, as the model takes them; ``answers`` group them."""
    table = numbers_of(rows, columns)
    known = ~np.isnan(table)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, table, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, table - centre, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(spread > 0, spread, 1.0)
    scaled = np.where(known, (table - centre) / scale, 0.0)
    means, residuals = _groups(scaled, answers)
    whitening = _whitening(residuals) if len(columns) <= MOST_COLUMNS else None
    made = Distance(tuple(columns), centre, scale, means, whitening)
    # As the card will have it: what is measured now must be measured so later.
    return read_distance(made.to_json(), max(columns) + 1)


def numbers_of(rows: Any, columns: Sequence[int]) -> Table:
    """Return columns of rows as float64, (rows, width); NaN where missing."""
    places = list(columns)
    taken = rows[:, places] if isinstance(rows, np.ndarray) else rows.iloc[:, places]
    return np.asarray(taken, dtype=np.float64)


def _groups(scaled: Table, answers: Sequence[Any]) -> tuple[Table, Table]:
    """Return the means of rows with one answer, and every row less its mean."""
    labels, places = np.unique(np.asarray(answers), return_inverse=True)
    counts = np.bincount(places, minlength=len(labels))
    if len(labels) > _MOST_MEANS or counts.min() < _LEAST_ROWS:
        mean = scaled.mean(axis=0, keepdims=True)
        return mean, scaled - mean
    means = np.array([scaled[places == each].mean(axis=0) for each in range(len(labels))])
    return means, scaled - means[places]


def _whitening(residuals: Table) -> Table:
    """Return W, (width, width): rows @ W have the variance one in every direction (PCA)."""
    width = residuals.shape[1]
    values, vectors = np.linalg.eigh((residuals.T @ residuals / len(residuals)).reshape(width, -1))
    floor = max(_FLOOR * float(values.mean()), 1e-9)
    found: Table = vectors / np.sqrt(np.maximum(values, floor))
    return found


def read_distance(raw: Mapping[str, Any], width: int) -> Distance:
    """Read what `Distance.to_json` wrote, of a card with ``width`` features; raises ValueError."""
    if set(raw) != _KEYS:
        raise ValueError("a distance has other keys")
    columns = raw["columns"]
    if not columns or any(type(one) is not int or not 0 <= one < width for one in columns):
        raise ValueError("a column is none of the model's features")
    size = len(columns)
    whitening = raw["whitening"]
    found = Distance(
        tuple(columns),
        _array(raw["centre"], (size,)),
        _array(raw["scale"], (size,)),
        _array(raw["means"], (len(raw["means"]), size)),
        None if whitening is None else _array(whitening, (size, size)),
    )
    if not len(found.means) or not (found.scale > 0).all():
        raise ValueError("a distance has no mean, or a scale of nothing")
    return found


def _array(raw: Any, shape: tuple[int, ...]) -> Table:
    found: Table = np.array(raw, dtype=np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"numbers of a distance are not finite, or not of the shape {shape}")
    return found


def _short(values: Table) -> Any:
    if values.ndim > 1:
        return [_short(row) for row in values]
    return [float(f"{value:.6g}") for value in values]
