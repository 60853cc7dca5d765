"""The loaded estimator: rows in, results out; knows nothing of HTTP.

Answers equal ``estimator.predict`` and ``estimator.predict_proba`` of the same file, to the
bit, whatever is saved on the way. Safe for several threads: nothing changes after the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import config_context

from secureml.models.card import Card
from secureml.models.rows.reader import RowReader, Rows, given_to
from secureml.models.rows.row_size import row_bytes
from secureml.models.serving.estimator_traits import CHECKS_ONLY_INPUT, LITERAL, MONOTONE, unrolled
from secureml.models.serving.result import ModelFailed, Result
from secureml.models.unpickling.graph import parts
from secureml.models.unpickling.single_thread import use_one_thread

_TIE = 1e-9
_FLOAT32_LIMIT = float(np.finfo(np.float32).max)

# What a model raises over rows it cannot take. Others are of the machine: no memory, no file.
# An overflow is a warning, and an exception only where warnings are errors (python -W error).
_OF_ROWS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeWarning)


class ModelHandle:
    """One version of one model, ready to answer."""

    def __init__(self, card: Card, estimator: Any) -> None:
        self.card, self.name, self.version = card, card.name, card.version
        prepare(estimator, keep_names=card.container == "frame")
        self._transforms, self._estimator = unrolled(estimator)
        self.read = RowReader(card).read
        self.width, self.row_bytes = len(card.features), row_bytes(card)
        kind = type(self._estimator)
        self._literal, self._monotone = kind in LITERAL, kind in MONOTONE
        steps = (*self._transforms, self._estimator)
        self._lean = all(type(step) in CHECKS_ONLY_INPUT for step in steps)
        self._classes = getattr(estimator, "classes_", None)
        self._takes_otherwise = card.container in ("column", "mapping")
        self._ask = (
            _dense(self._estimator)
            if card.method == "transform"
            else getattr(self._estimator, card.method or "predict")
        )

    def predict(self, rows: Rows) -> Result:
        """Answer each row; raises ModelFailed."""
        try:
            return self._predict(rows)
        except ModelFailed as failed:
            raise ModelFailed(str(failed), self._culprit(rows)) from failed
        except SystemExit as error:  # a worker is not a model's to end
            raise ModelFailed("raised.SystemExit") from error
        except _OF_ROWS as error:
            word = f"raised.{type(error).__name__}"
            raise ModelFailed(word, self._culprit(rows)) from error
        except Exception as error:
            raise ModelFailed(f"raised.{type(error).__name__}") from error

    def _predict(self, rows: Rows) -> Result:
        if self._takes_otherwise:
            rows = given_to(self.card, rows)
        if self._lean and _ordinary(rows):
            # The rows are proved finite already: 5 % of a linear answer, 15 % of a forest's.
            with config_context(assume_finite=True, skip_parameter_validation=True):
                transformed = self._proved(rows)
                if transformed is not None:
                    return self._answer(transformed)
        return self._answer(self._transformed(rows))

    def _culprit(self, rows: Rows) -> int | None:
        """Return the place of a row that cannot be answered, None where no row can be.

        Of ever fewer rows, which together are no more than were asked about: twice the work of
        an answer, and no more.
        """
        if not self._answers(self._known_rows()):
            return None  # what it answered when it was sealed it does not answer now
        first, last = 0, len(rows)
        while last - first > 1:
            middle = (first + last) // 2
            if self._answers(_part(rows, first, middle)):
                first = middle
            else:
                last = middle
        # Alone it may be answered: then it is not the row but the batch, and that is ours.
        return None if self._answers(_part(rows, first, last)) else first

    def _known_rows(self) -> Rows:
        known: Rows = self.read([list(self.card.golden.rows[0])])
        return known

    def _answers(self, rows: Rows) -> bool:
        try:
            self._predict(rows)
        except (Exception, SystemExit):  # noqa: BLE001 - looked at here, told of by whoever asked
            return False
        return True

    def _transformed(self, rows: Rows) -> Rows:
        for step in self._transforms:
            rows = step.transform(rows)
        return rows

    def _proved(self, rows: Rows) -> Rows | None:
        """Return what the last step is asked, None where a step made something odd of it."""
        for step in self._transforms:
            rows = step.transform(rows)
            if not _ordinary(rows):
                return None
        return rows

    def _answer(self, rows: Rows) -> Result:
        if not self.card.has_probabilities:
            return Result(_finite(self._ask(rows)).tolist(), None, self.card.classes)
        probabilities = _finite(self._estimator.predict_proba(rows))
        labels = self._labels_from(probabilities)
        if labels is None:
            labels = self._ask(rows)
            if labels.ndim == 2:  # CatBoost answers several classes with a column
                labels = labels[:, 0]
        return Result(labels.tolist(), probabilities.tolist(), self.card.classes)

    def _labels_from(self, probabilities: Rows) -> Rows | None:
        if self._classes is None or not (self._literal or self._monotone):
            return None
        if self._monotone and _near_tie(probabilities):
            return None
        labels: Rows = self._classes.take(probabilities.argmax(axis=1))
        return labels


def _part(rows: Any, first: int, last: int) -> Rows:
    part: Rows = rows[first:last] if isinstance(rows, np.ndarray) else rows.iloc[first:last]
    return part


def _ordinary(rows: Any) -> bool:
    # Neither infinite nor missing, and within what a tree holds; a frame or matrix is no array.
    return isinstance(rows, np.ndarray) and bool(np.abs(rows).max() <= _FLOAT32_LIMIT)


def _near_tie(probabilities: Rows) -> bool:
    if probabilities.dtype != np.float64 or probabilities.shape[1] < 2:
        return True
    if probabilities.shape[1] == 2:
        return bool((np.abs(probabilities[:, 0] - probabilities[:, 1]) < _TIE).any())
    top = np.partition(probabilities, -2, axis=1)
    return bool((top[:, -1] - top[:, -2] < _TIE).any())


def _dense(transformer: Any) -> Callable[[Any], Any]:
    """Return its `transform` with sparse rows as arrays; the card bounds how wide they are."""

    def transform(rows: Any) -> Any:
        found = transformer.transform(rows)
        return found.toarray() if hasattr(found, "toarray") else found

    return transform


def _finite(answers: Any) -> Rows:
    found: Rows = np.asarray(answers)
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ModelFailed("not_finite")
    return found


def prepare(estimator: Any, *, keep_names: bool) -> None:
    """Make an estimator fit to serve: one thread each call, and no warning about names.

    Columns are mapped by name before rows get here, so an array is right.
    """
    use_one_thread(estimator)
    if keep_names:
        return
    for part in parts(estimator):
        vars(part).pop("feature_names_in_", None)
        if "_fitted_with_feature_names" in vars(part):  # by which LightGBM says it has them
            vars(part)["_fitted_with_feature_names"] = False
