"""What a model answers while it is sealed, and whether JSON can carry it."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from secureml.models.card import OUTPUT_LIMIT, Card, Scalar
from secureml.models.rows.reader import given_to


class Answers(NamedTuple):
    """What a model answered: an array of one answer a row, and probabilities or None."""

    predictions: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None


def ask(card: Card, estimator: Any, rows: Any) -> Answers:
    """Return a model's answers; raises whatever the model raises, as an Exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = given_to(card, rows)
            predictions = answered(estimator, card.method, rows)
            if card.classes is not None and predictions.shape[1:] == (1,):
                predictions = predictions[:, 0]  # CatBoost answers several classes with a column
            shares = np.asarray(estimator.predict_proba(rows)) if card.has_probabilities else None
    except SystemExit:
        raise RuntimeError("it tries to end the process (SystemExit)") from None
    return Answers(predictions, shares)


def answered(estimator: Any, method: str, rows: Any) -> np.ndarray[Any, Any]:
    """Return what a method of an estimator answers, as an array: (rows,) or (rows, outputs)."""
    found = getattr(estimator, method or "predict")(rows)
    if not hasattr(found, "toarray"):
        return np.asarray(found)
    if found.shape[1] > OUTPUT_LIMIT:
        raise ValueError(
            f"a row has {found.shape[1]} values, and at most {OUTPUT_LIMIT} are served"
        )
    return np.asarray(found.toarray())


def add_answers(digest: Any, found: Answers) -> None:
    """Add answers to a digest (of ``hashlib``): dtype, shape and every bit, or texts as JSON."""
    for part in found:
        if part is None:
            continue
        held = part.tolist() if part.dtype.hasobject else np.ascontiguousarray(part).tobytes()
        digest.update(f"{part.dtype}{part.shape}".encode())
        digest.update(held if isinstance(held, bytes) else json.dumps(held).encode())


def first_unfit(answers: Answers) -> int | None:
    """Return the place of the first answer that JSON cannot carry, None where it can all."""
    for index, answer in enumerate(answers.predictions.tolist()):
        if not all(map(_is_fit, answer if type(answer) is list else [answer])):
            return index
    if answers.probabilities is None:
        return None
    fit = np.isfinite(np.asarray(answers.probabilities, dtype=np.float64))
    indices = np.flatnonzero(~fit.reshape(len(fit), -1).all(axis=1))
    return int(indices[0]) if indices.size else None


def _is_fit(value: Any) -> bool:
    return isinstance(value, Scalar) and (type(value) is not float or math.isfinite(value))
