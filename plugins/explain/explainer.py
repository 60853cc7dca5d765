"""The explanations of one model: what it is asked, and how far an explanation may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .mixtures import mixed, stacked
from .shapley import Array, Attribution, attribute, sample

_BATCH = 500  # rows that the model is asked about at once, between two looks at the clock


class Model(Protocol):
    """What is used of `secureml.ModelHandle`."""

    card: Any

    def read(self, instances: Any) -> Any:
        """Return instances as the model takes them."""

    def predict(self, rows: Any) -> Any:
        """Return a result with ``predictions`` and ``probabilities``."""


class NotExplained(Exception):
    """A model has no explanations; the message is why."""


class TooSlow(Exception):
    """An explanation took longer than it may."""


class Explainer:
    """Explains rows of one model; safe for several threads, nothing changes after it is made.

    ``clock`` returns seconds of any beginning. Raises NotExplained.
    """

    def __init__(self, model: Model, evaluations: int, clock: Callable[[], float]) -> None:
        card = model.card
        _check(card)
        self._model, self._clock = model, clock
        self._has_classes = bool(card.classes)
        rows, features = card.golden.rows, len(card.features)
        # From the digest of the model: nobody learns more by asking for the same row again.
        sampling = sample(features, len(rows), evaluations, int(card.digest[:16], 16))
        if sampling is None:
            raise NotExplained(
                f"its {features} features need {2 * (features - 1)} evaluations for a row at "
                f"least, and evaluations = {evaluations}"
            )
        self._sampling = sampling
        self._background = model.read([list(row) for row in rows])
        self._of_background = self._outputs(self._background)

    def explain(self, rows: Any, columns: list[int], seconds: float) -> list[Attribution]:
        """Return the attributions of rows as the model takes them.

        ``columns`` are the places of the classes that are explained, one a row, 0 where the model
        answers with a number. Raises TooSlow after so many ``seconds``, and what the model raises.
        """
        end = self._clock() + seconds
        return [
            self._one(rows[place : place + 1], column, end) for place, column in enumerate(columns)
        ]

    def _one(self, row: Any, column: int, end: float) -> Attribution:
        stack = stacked(row, self._background)

        def ask(sources: Array) -> Array:
            found = []
            for begin in range(0, len(sources), _BATCH):
                if self._clock() > end:
                    raise TooSlow
                part = mixed(stack, sources[begin : begin + _BATCH])
                found.append(self._outputs(part)[:, column])
            return np.concatenate(found)

        return attribute(ask, self._of_background[:, column], self._sampling)

    def _outputs(self, rows: Any) -> Array:
        """Return what is explained, (rows, classes), or (rows, 1) of numbers."""
        result = self._model.predict(rows)
        if self._has_classes:
            return np.array(result.probabilities, dtype=np.float64)
        return np.array(result.predictions, dtype=np.float64)[:, None]


def _check(card: Any) -> None:
    if card.source != "table":
        raise NotExplained("it was sealed without --data, so no row is known to compare with")
    if card.outputs or card.kind not in ("classifier", "regressor"):
        raise NotExplained("only a classifier or a regressor with one answer a row is explained")
    if card.kind == "classifier" and not (card.has_probabilities and card.classes):
        raise NotExplained("a classifier is explained by its probabilities, and it has none")
