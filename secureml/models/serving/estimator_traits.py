"""Which estimators' labels can be read from their probabilities, and which need no second look.

Each entry was read in the source of scikit-learn 1.9.1. It saves a second model call, and
the golden rows of every card check it again at every load.
"""

from __future__ import annotations

from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier
from sklearn.utils import get_tags

# predict() is, in so many words, classes_[argmax(predict_proba(X))].
LITERAL: frozenset[type] = frozenset(
    {
        BaggingClassifier,
        CalibratedClassifierCV,
        ExtraTreesClassifier,
        RandomForestClassifier,
        DecisionTreeClassifier,
        ExtraTreeClassifier,  # both from tree_.predict
    }
)

# predict() compares scores of which the probabilities are a rising function: binary score
# against 0 and expit, or argmax of scores and softmax. Rounding can only matter at a tie.
MONOTONE: frozenset[type] = frozenset(
    {
        GaussianNB,  # argmax of the joint log likelihood; exp(it - its logsumexp)
        GradientBoostingClassifier,  # at a binary tie predict says class 1, argmax says class 0
        HistGradientBoostingClassifier,
        LogisticRegression,
        LogisticRegressionCV,
        MLPClassifier,  # a threshold of 0.5, or argmax, over what predict_proba returns
    }
)

# They look at X itself and at nothing derived from it, so rows proved finite need no second
# look. What a pipeline hands on between its steps is proved anew: a step may divide by zero.
CHECKS_ONLY_INPUT: frozenset[type] = frozenset(
    {
        ExtraTreesClassifier,
        RandomForestClassifier,
        RandomForestRegressor,
        DecisionTreeClassifier,
        DecisionTreeRegressor,
        ExtraTreeClassifier,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        LogisticRegression,
        MaxAbsScaler,
        MinMaxScaler,
        RobustScaler,
        StandardScaler,
    }
)


def estimator_type(estimator: Any) -> str | None:
    """Return what an estimator says it is, as scikit-learn calls it; None where it says nothing."""
    if not hasattr(estimator, "__sklearn_tags__"):
        return None  # a class of somebody's own, which scikit-learn would not look at
    found: str | None = get_tags(estimator).estimator_type
    return found


def unrolled(estimator: Any) -> tuple[tuple[Any, ...], Any]:
    """Return a pipeline's transforming steps and its last; any other estimator is its own last.

    ``Pipeline.predict`` and ``predict_proba`` are: transform by each step that is not
    "passthrough", then ask the last. Doing so directly saves looking through the whole
    pipeline for whether it was fitted, at each call a sixth of a small model's time.
    """
    transforms: list[Any] = []
    # Exact types throughout: a subclass may have changed either method.
    while type(estimator) is Pipeline:
        *before, (_, last) = estimator.steps
        transforms += [step for _, step in before if step is not None and step != "passthrough"]
        estimator = last
    return tuple(transforms), estimator


def final(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator: transforms come before both calls."""
    return unrolled(estimator)[1]
