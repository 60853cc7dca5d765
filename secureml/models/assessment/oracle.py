"""The model as an attacker has it: rows in, answers out, every question counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from secureml.models.assessment.answer_form import Answers
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.serving.handle import ModelHandle

Array = np.ndarray[Any, Any]
_BATCH = 2000
# Kinds whose answer is one of a few labels, and those whose answer is an amount.
LABELLED = frozenset({"classifier", "outlier", "cluster"})
AMOUNTS = frozenset({"regressor", "density"})


class Oracle:
    """Asks a sealed model through the path that a request takes.

    ``asked`` is the number of rows so far. Raises ModelFailed where the model does not answer and
    RowsRefused where a request with these rows would be refused.
    """

    def __init__(self, handle: ModelHandle, space: ColumnSpace) -> None:
        self._handle, self._space, self.asked = handle, space, 0
        self.labelled = handle.card.kind in LABELLED
        self._codes: dict[Any, int] = {
            label: place for place, label in enumerate(handle.card.classes or ())
        }

    @property
    def classes(self) -> int:
        """The number of labels that are known so far."""
        return len(self._codes)

    def ask(self, matrix: Array) -> Answers:
        """Return the full answers to rows, of the shape (rows, columns); at least one row."""
        found: Answers | None = None
        for begin in range(0, len(matrix), _BATCH):
            answers = self._ask(matrix[begin : begin + _BATCH])
            found = answers if found is None else found.joined(answers)
        assert found is not None  # noqa: S101 - at least one row
        return found

    def _ask(self, matrix: Array) -> Answers:
        rows = self._handle.read(self._space.instances(matrix))
        result = self._handle.predict(rows)
        self.asked += len(matrix)
        if not self.labelled:
            return Answers(amounts=np.array(result.predictions, dtype=float))
        labels = np.array([self.code(label) for label in result.predictions])
        shares = None if result.probabilities is None else np.array(result.probabilities, float)
        return Answers(labels, shares)

    def code(self, label: Any) -> int:
        """Return the place of a label; a new one where it was not seen before."""
        return self._codes.setdefault(label, len(self._codes))
