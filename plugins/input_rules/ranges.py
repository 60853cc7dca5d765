"""How far values may lie from what training saw, whole batches at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secureml.kit.json_pointer import escape
from secureml.kit.protocols import Card

from .rule import Action

LIMIT = 20  # faults named for one action
Rows = np.ndarray[Any, Any]


class Ranges:
    """The bounds of one card; ``margin`` is a share of each range, added at both ends.

    ``action`` says what becomes of a value beyond them, ``actions`` the same for one feature.
    """

    def __init__(
        self,
        card: Card,
        margin: float = 0.0,
        action: Action = "refuse",
        actions: Mapping[str, Action] | None = None,
    ) -> None:
        self._names = [feature.name for feature in card.features]
        bounded = [
            (index, feature)
            for index, feature in enumerate(card.features)
            if feature.minimum is not None and feature.maximum is not None
        ]
        self._columns = np.array([index for index, _ in bounded], dtype=np.intp)
        lowest = np.array([feature.minimum for _, feature in bounded], dtype=np.float64)
        highest = np.array([feature.maximum for _, feature in bounded], dtype=np.float64)
        slack = margin * (highest - lowest)
        whole = np.array([feature.dtype == "integer" for _, feature in bounded], dtype=bool)
        # A whole number beyond a broken bound is beyond the whole one inside it as well.
        self._lowest = np.where(whole, np.ceil(lowest - slack), lowest - slack)
        self._highest = np.where(whole, np.floor(highest + slack), highest + slack)
        given = actions or {}
        chosen = [given.get(feature.name, action) for _, feature in bounded]
        self._of: dict[str, Rows] = {
            word: np.array([one == word for one in chosen], dtype=bool) for word in set(chosen)
        }
        self._all = len(bounded) == len(self._names)

    def beyond(self, rows: Any) -> tuple[Rows, Rows] | None:
        """Return where values lie below and above, a column for each bound; None for nowhere."""
        if not self._columns.size:
            return None
        values = self._bounded(rows)
        # Written so that NaN, which is missing, is beyond neither bound.
        below, above = values < self._lowest, values > self._highest
        return (below, above) if (below | above).any() else None

    def by_action(self, beyond: tuple[Rows, Rows]) -> list[tuple[str, Rows]]:
        """Return for each action the places beyond that it is for, as `faults_at` takes them."""
        anywhere = beyond[0] | beyond[1]
        found = [(word, np.argwhere(anywhere & mask)) for word, mask in self._of.items()]
        return [(word, indices) for word, indices in found if len(indices)]

    def faults(self, rows: Any, instances: Sequence[Any]) -> list[tuple[str, str]]:
        """Return at most twenty (path, rule) of values beyond the bounds; missing is within."""
        beyond = self.beyond(rows)
        if beyond is None:
            return []
        return self.faults_at(np.argwhere(beyond[0] | beyond[1]), beyond[0], instances)

    def faults_at(
        self, indices: Rows, below: Rows, instances: Sequence[Any]
    ) -> list[tuple[str, str]]:
        """Return (path, rule) of the first twenty of some places."""
        return [
            (
                path_of(instances, row, int(self._columns[column]), self._names),
                "below_minimum" if below[row, column] else "above_maximum",
            )
            for row, column in indices[:LIMIT].tolist()
        ]

    def clipped(self, rows: Any, below: Rows, above: Rows) -> list[tuple[int, Rows]]:
        """Return the columns that clip, as (place, values) with what lay beyond at its bound."""
        values = self._bounded(rows)
        clips = self._of.get("clip", np.zeros(self._columns.size, dtype=bool))
        changed = np.flatnonzero(clips & (below | above).any(axis=0)).tolist()
        return [
            (
                int(self._columns[index]),
                np.clip(values[:, index], self._lowest[index], self._highest[index]),
            )
            for index in changed
        ]

    def _bounded(self, rows: Any) -> Rows:
        if self._all and isinstance(rows, np.ndarray) and rows.dtype == np.float64:
            return rows
        taken = (
            rows[:, self._columns]
            if isinstance(rows, np.ndarray)
            else (rows.iloc[:, self._columns].to_numpy())
        )
        return np.asarray(taken, dtype=np.float64)


def path_of(instances: Sequence[Any], row: int, column: int | None, names: Sequence[str]) -> str:
    """Return the JSON pointer of a cell, by the caller's own way to write it, or of a row."""
    if column is None:
        return f"/instances/{row}"
    label = escape(names[column]) if isinstance(instances[row], dict) else column
    return f"/instances/{row}/{label}"
