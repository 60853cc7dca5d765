"""The loaded estimator: rows in, results out; knows nothing of HTTP.

Answers equal ``estimator.predict`` and ``estimator.predict_proba`` of the same file, to the
bit, whatever is saved on the way. Safe for several threads: nothing changes after the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import config_context

from secureml.models.card import Card, Scalar
from secureml.models.rows.reader import RowReader, Rows, given_to
from secureml.models.serving.estimator_traits import CHECKS_ONLY_INPUT, LITERAL, MONOTONE, unrolled
from secureml.models.unpickling.graph import parts
from secureml.models.unpickling.single_thread import use_one_thread

_TIE = 1e-9
_FLOAT32_LIMIT = float(np.finfo(np.float32).max)


# What a model raises over rows it cannot take. Others are of the machine: no memory, no file.
# An overflow is a warning, and an exception only where warnings are errors (python -W error).
_OF_ROWS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeWarning)


class ModelFailed(Exception):
    """The model did not answer; the message is a word for the log: raised.<Type>, not_finite.

    ``row`` is the place of a row it cannot answer while it answers others: then the question is
    at fault and not the model. None where it may be either.
    """

    def __init__(self, word: str, row: int | None = None) -> None:
        super().__init__(word)
        self.row = row


@dataclass(frozen=True, slots=True)
class Result:
    """Answers in plain Python values: one a row, which is a list where the model has several
    outputs, and probabilities in the order of classes.

    A probability that was withheld is None, in its place.
    """

    predictions: list[Any]
    probabilities: list[list[float | None]] | None = None
    classes: tuple[Scalar, ...] | None = None

    def check_coarser(self, other: Result) -> None:
        """Raise ValueError where another result tells of what this one withholds.

        Numbers may differ, for instance where noise was added; what is not there stays away.
        """
        if len(other.predictions) != len(self.predictions):
            raise ValueError("another number of predictions")
        if other.probabilities is None:
            return
        if self.probabilities is None:
            raise ValueError("probabilities that were withheld are back")
        for before, after in zip(self.probabilities, other.probabilities, strict=True):
            for was, share in zip(before, after, strict=True):
                if was is None and share is not None:
                    raise ValueError("a probability that was withheld is back")


class ModelHandle:
    """One version of one model, ready to answer."""

    def __init__(self, card: Card, estimator: Any) -> None:
        self.card, self.name, self.version = card, card.name, card.version
        prepare(estimator, keep_names=card.container == "frame")
        self._transforms, self._estimator = unrolled(estimator)
        self.read = RowReader(card).read
        kind = type(self._estimator)
        self._literal, self._monotone = kind in LITERAL, kind in MONOTONE
        steps = (*self._transforms, self._estimator)
        self._lean = all(type(step) in CHECKS_ONLY_INPUT for step in steps) and all(
            feature.missing == "refuse" for feature in card.features
        )
        self._classes = getattr(estimator, "classes_", None)
        self._takes_column = card.container == "column"
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
        if self._takes_column:
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
