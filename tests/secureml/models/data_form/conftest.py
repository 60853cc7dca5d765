"""Forms of estimators, and answers compared to the bit."""

from __future__ import annotations

import io

import numpy as np
import pytest

from secureml.models.data_form.reader import Limits, read
from secureml.models.data_form.writer import write
from secureml.models.unpickling.allowlist import builtin_names

METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "transform",
)
EVERY_ARRAY_A_VIEW, EVERY_ARRAY_A_COPY = Limits(view_from=1), Limits(view_from=2**62)


def form_of(estimator, allowed=None):
    file = io.BytesIO()
    write(estimator, file, allowed=builtin_names() if allowed is None else allowed)
    return file.getvalue()


def round_trips(estimator, allowed=None):
    """Return the estimator read back twice: over views of the form, and over copies."""
    allowed = builtin_names() if allowed is None else allowed
    form = form_of(estimator, allowed)
    return [
        read(form, allowed=allowed, limits=limits)
        for limits in (EVERY_ARRAY_A_VIEW, EVERY_ARRAY_A_COPY)
    ]


def is_same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    if hasattr(one, "tocsr"):
        return is_same(one.toarray(), other.toarray())
    if not isinstance(one, np.ndarray):
        return (one == other) is True or one.equals(other)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    # By their bytes: -0.0 is not 0.0, and a NaN is the same NaN.
    return (
        one.tolist() == other.tolist() if one.dtype.hasobject else one.tobytes() == other.tobytes()
    )


def answers_to(estimator, rows):
    """Return what an estimator answers, by method; an exception is an answer too."""
    found = {}
    for method in METHODS:
        if hasattr(estimator, method):
            try:
                found[method] = getattr(estimator, method)(rows)
            except Exception as error:  # noqa: BLE001
                found[method] = type(error).__name__
    return found


def check_answers(estimator, rows, allowed=None):
    """Assert that both copies of a fitted estimator answer as it does itself."""
    # A copy: kernels of rows with the very array that was learned take a shorter way.
    rows = rows.copy()
    theirs = answers_to(estimator, rows)
    assert any(not isinstance(answer, str) for answer in theirs.values())
    for copy in round_trips(estimator, allowed):
        ours = answers_to(copy, rows)
        assert ours.keys() == theirs.keys()
        differing = [method for method in theirs if not is_same(ours[method], theirs[method])]
        assert differing == []


@pytest.fixture
def answers_as_before():
    return check_answers


@pytest.fixture
def form():
    return form_of


@pytest.fixture
def copies():
    return round_trips
