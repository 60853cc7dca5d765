"""What an estimator says of itself: what it is asked, of what kind it is, and what it takes."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import FeatureUnion
from sklearn.utils.validation import check_is_fitted

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.estimator_traits import estimator_type, unrolled

# What scikit-learn calls it, and what a card does.
_KINDS = {
    "classifier": "classifier",
    "regressor": "regressor",
    "outlier_detector": "outlier",
    "clusterer": "cluster",
    "density_estimator": "density",
}


def method_of(estimator: Any) -> str:
    """Return the method that is asked; empty for `predict`."""
    for method in ("predict", "transform", "score_samples"):
        if hasattr(estimator, method):
            return "" if method == "predict" else method
    if hasattr(estimator, "fit_predict"):
        raise refuse(
            f"{type(estimator).__name__} answers only the rows it was fitted on",
            "fit a model that predicts new rows, for instance a classifier on the labels it found",
        )
    raise refuse(
        f"the file holds a {type(estimator).__name__}, which does not predict",
        "seal the fitted estimator or pipeline itself",
    )


def width_of(estimator: Any, *, by_table: bool = False) -> int | None:
    """Return how many columns an estimator takes; raises ModelRefused where it does not say.

    None where it does not and its table may say, which ``by_table`` tells.
    """
    width = getattr(estimator, "n_features_in_", None)
    if isinstance(width, int) and width > 0:
        return width
    if isinstance(estimator, BaseEstimator) and not _is_fitted(estimator):
        raise refuse(f"the {type(estimator).__name__} is not fitted", "fit it, then write it")
    if takes_column(estimator):
        return 1
    if by_table:
        return None
    kind = type(_first(estimator)).__name__
    raise refuse(
        f"{kind} does not say how many columns it takes (it has no n_features_in_)",
        "give the table it was fitted on with --data, and its column of answers with --target; or "
        "set n_features_in_ in fit() where the class is yours; rows of names and values "
        "(DictVectorizer, FeatureHasher) are not served",
    )


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def takes_column(estimator: Any) -> bool:
    """Tell whether a model takes one column as it is: texts, or the numbers of an isotonic one."""
    first = _first(estimator)
    return takes_texts(estimator) or (
        isinstance(first, IsotonicRegression) and hasattr(first, "X_thresholds_")
    )


def takes_texts(estimator: Any) -> bool:
    """Tell whether a model takes texts apart, and no table of columns."""
    first = _first(estimator)
    if isinstance(first, FeatureUnion):
        return all(takes_texts(part) for _, part in first.transformer_list)
    return isinstance(first, (CountVectorizer, HashingVectorizer))


def _first(estimator: Any) -> Any:
    steps, last = unrolled(estimator)
    return (*steps, last)[0]


def kind_of(estimator: Any, method: str) -> str:
    """Return the kind of an estimator, as a card has it."""
    found = _KINDS.get(estimator_type(estimator) or "")
    if found == "density" and not method:
        return "cluster"  # it answers which of its components a row belongs to
    return found or {"": "other", "transform": "transformer", "score_samples": "density"}[method]


def refuse(message: str, fix: str) -> ModelRefused:
    """Return the refusal of a model that no card can describe."""
    return ModelRefused("card", message, fix)
