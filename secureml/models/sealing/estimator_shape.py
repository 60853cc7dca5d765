"""What an estimator says of itself: what it is asked, of what kind it is, and what it takes."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import FeatureUnion
from sklearn.utils.validation import check_is_fitted

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.estimator_traits import estimator_type, unrolled

_MOST_COLUMNS = 1_000_000  # a name of each is made, whatever the model says
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

    None where it does not and its table may say, which ``by_table`` tells. 0 for one that takes
    objects: their names are as many as its table says.
    """
    width = getattr(estimator, "n_features_in_", None)
    if isinstance(width, int) and width > 0:
        if width > _MOST_COLUMNS:
            raise refuse(
                f"the model says that it takes {width} columns, more than {_MOST_COLUMNS}",
                "choose the columns that matter, and fit the model on those",
            )
        return width
    if isinstance(estimator, BaseEstimator) and not _is_fitted(estimator):
        raise refuse(f"the {type(estimator).__name__} is not fitted", "fit it, then write it")
    if takes_column(estimator):
        return 1
    if takes_mapping(estimator):
        return 0
    kind = type(first_step(estimator)).__name__
    if kind == "FeatureHasher":
        raise refuse(
            "the FeatureHasher takes lists of texts or of pairs, which are no rows of columns",
            'give it objects: FeatureHasher(input_type="dict"), each name with its value',
        )
    if by_table:
        return None
    raise refuse(
        f"{kind} does not say how many columns it takes (it has no n_features_in_)",
        "give the table it was fitted on with --data, and its column of answers with --target; or "
        "set n_features_in_ in fit() where the class is yours",
    )


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def takes_column(estimator: Any) -> bool:
    """Tell whether a model takes one column as it is: texts, or the numbers of an isotonic one."""
    first = first_step(estimator)
    return takes_texts(estimator) or (
        isinstance(first, IsotonicRegression) and hasattr(first, "X_thresholds_")
    )


def takes_mapping(estimator: Any) -> bool:
    """Tell whether a row of a model is an object of names and values."""
    first = first_step(estimator)
    if isinstance(first, FeatureHasher):
        return bool(first.input_type == "dict")
    return isinstance(first, DictVectorizer) and hasattr(first, "feature_names_")


def takes_texts(estimator: Any) -> bool:
    """Tell whether a model takes texts apart, and no table of columns."""
    first = first_step(estimator)
    if isinstance(first, FeatureUnion):
        return all(takes_texts(part) for _, part in first.transformer_list)
    return isinstance(first, (CountVectorizer, HashingVectorizer))


def first_step(estimator: Any) -> Any:
    """Return what a row reaches first: the first step of a pipeline, or the estimator itself."""
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
