"""Where scikit-learn keeps callables and names of methods, and which it keeps there.

Read in the source of scikit-learn 1.9.1, and held to the estimators it can construct by the
tests. What is not listed here stands nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

_Match = Callable[[str, Any], bool]
_PLAIN_TYPES = frozenset({bool, int, float, complex, str, object})


def _ufunc(name: str, thing: Any) -> bool:
    return isinstance(thing, np.ufunc)


def _scalar_type(name: str, thing: Any) -> bool:
    return isinstance(thing, type) and (thing in _PLAIN_TYPES or issubclass(thing, np.generic))


def _score(name: str, thing: Any) -> bool:
    return isinstance(thing, FunctionType) and name.startswith("sklearn.metrics.")


def _selection(name: str, thing: Any) -> bool:
    return isinstance(thing, FunctionType) and name.startswith("sklearn.feature_selection.")


def _pairwise(name: str, thing: Any) -> bool:
    return isinstance(thing, FunctionType) and name.startswith("sklearn.metrics.pairwise.")


def _anything(name: str, thing: Any) -> bool:
    return True


def _exactly(*names: str) -> _Match:
    return lambda name, thing: name in names


def _kind(*classes: str) -> _Match:
    return lambda name, thing: not ancestors(type(thing)).isdisjoint(classes)


_KERNEL = _kind("sklearn.gaussian_process.kernels.Kernel")
_SCORER = _kind(
    "sklearn.metrics._scorer._BaseScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._MultimetricScorer",
)
_LOSS = _kind("sklearn._loss.loss.BaseLoss")
_SEARCH = "sklearn.model_selection._search.BaseSearchCV"
# Owner ("" for any), its attributes, and what may stand there. Nothing in a search's record of
# what was tried is ever called again.
_CALLABLE_ATTRIBUTES: tuple[tuple[str, str, _Match], ...] = (
    ("sklearn.preprocessing._function_transformer.FunctionTransformer", "func", _ufunc),
    ("sklearn.preprocessing._function_transformer.FunctionTransformer", "inverse_func", _ufunc),
    ("sklearn.compose._target.TransformedTargetRegressor", "func", _ufunc),
    ("sklearn.compose._target.TransformedTargetRegressor", "inverse_func", _ufunc),
    ("sklearn.cluster._agglomerative.FeatureAgglomeration", "pooling_func", _exactly("numpy.mean")),
    ("sklearn.impute._base.SimpleImputer", "strategy", _exactly("numpy.mean")),
    (
        "sklearn.cluster._bisect_k_means.BisectingKMeans",
        "_kmeans_single",
        _exactly(
            "sklearn.cluster._kmeans._kmeans_single_elkan",
            "sklearn.cluster._kmeans._kmeans_single_lloyd",
        ),
    ),
    (
        "scipy.interpolate._bsplines.BSpline",
        "_asarray",
        _exactly("scipy._lib.array_api_compat.numpy._aliases.asarray"),
    ),
    (
        "sklearn.preprocessing._polynomial.SplineTransformer",
        "bsplines_",
        _kind("scipy.interpolate._bsplines.BSpline"),
    ),
    ("sklearn.feature_selection._univariate_selection._BaseFilter", "score_func", _selection),
    (
        "sklearn.model_selection._split._RepeatedSplits",
        "cv",
        _exactly(
            "sklearn.model_selection._split.KFold",
            "sklearn.model_selection._split.StratifiedKFold",
        ),
    ),
    ("sklearn.ensemble._forest.BaseForest", "oob_score", _score),
    ("sklearn.metrics._scorer._BaseScorer", "_score_func", _score),
    ("sklearn.metrics._scorer._MultimetricScorer", "_scorers", _SCORER),
    *(
        (_SEARCH, attribute, _anything)
        for attribute in ("param_grid", "param_distributions", "cv_results_", "best_params_")
    ),
    *(
        ("sklearn.compose._column_transformer.ColumnTransformer", attribute, _kind(selector))
        for attribute in ("transformers", "transformers_", "_columns")
        for selector in ("sklearn.compose._column_transformer.make_column_selector",)
    ),
    *(("", attribute, _scalar_type) for attribute in ("dtype", "dtype_include", "dtype_exclude")),
    *(
        ("", attribute, _SCORER)
        for attribute in ("scoring", "scorer_", "_scorer", "_curve_scorer", "owner")
    ),
    *(("", attribute, _LOSS) for attribute in ("_loss", "_base_loss", "loss_")),
    *(
        ("", attribute, match)
        for attribute in ("kernel", "kernel_")
        for match in (_KERNEL, _pairwise)
    ),
    *(
        ("sklearn.gaussian_process.kernels.Kernel", attribute, _KERNEL)
        for attribute in ("k1", "k2", "kernels")
    ),
)

_ANSWERS = frozenset({"predict", "predict_proba", "predict_log_proba", "decision_function"})
_REQUESTS = _ANSWERS | {
    "fit_resample",  # of imbalanced-learn, in every request that was made where it is imported
    "fit",
    "fit_predict",
    "fit_transform",
    "inverse_transform",
    "partial_fit",
    "score",
    "split",
    "transform",
}
# Attributes that name a method, which is then called; and the names scikit-learn uses there.
_METHOD_NAMES: dict[str, frozenset[str]] = {
    "stack_method": _ANSWERS | {"auto"},
    "stack_method_": _ANSWERS,
    "chain_method": _ANSWERS,
    "chain_method_": _ANSWERS,
    "response_method": _ANSWERS | {"auto"},
    "_response_method": _ANSWERS,
    "method_": _ANSWERS,
}
_REQUEST = "sklearn.utils._metadata_requests.MethodMetadataRequest"
_GETTER = re.compile(r"[a-z][A-Za-z0-9_]*(\.[a-z][A-Za-z0-9_]*){0,9}", re.ASCII)


_known: dict[type, frozenset[str]] = {}


def ancestors(kind: type) -> frozenset[str]:
    """Return the full names of a class and of all it inherits from."""
    if kind not in _known:
        _known[kind] = frozenset(f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
    return _known[kind]


def keeps_callable(owner: Any, attribute: str, name: str, value: Any) -> bool:
    """Return whether scikit-learn keeps this callable at this attribute of this owner."""
    if owner is None:
        return False
    owners = ancestors(type(owner)) | {""}
    return any(
        attribute == kept_as and keeper in owners and match(name, value)
        for keeper, kept_as, match in _CALLABLE_ATTRIBUTES
    )


def wrong_method_name(owner: Any, attribute: str, value: Any) -> str | None:
    """Return what an attribute that names a method names amiss; None where all is well."""
    if attribute == "importance_getter":
        if type(value) is str:
            return None if _GETTER.fullmatch(value) else value[:60]
        # A text of another class is text to scikit-learn, and its maker says what it equals.
        return type(value).__name__ if isinstance(value, str) else None
    allowed = _METHOD_NAMES.get(attribute)
    if attribute == "method" and _REQUEST in ancestors(type(owner)):
        allowed = _REQUESTS
    if allowed is None or value is None:
        return None
    for name in value if type(value) in (list, tuple) else (value,):
        if type(name) is not str:
            if name is not None:
                return type(name).__name__
        elif name not in allowed:
            return name[:60]
    return None
