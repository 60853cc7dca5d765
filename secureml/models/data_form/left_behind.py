"""Attributes of a fitted estimator that no answer needs, and that are not written.

Each holds what no data form can: a chain of objects that lead back to themselves, or functions.
"""

from __future__ import annotations

from typing import Any

from secureml.models.unpickling.callable_attributes import ancestors

_OF_TYPES: dict[str, frozenset[str]] = {
    # How far training went; a dictionary that calls a class for what it has not.
    "lightgbm.sklearn.LGBMModel": frozenset({"_best_score", "_evals_result"}),
    # What was called while it was trained, and what it was measured by.
    "xgboost.sklearn.XGBModel": frozenset({"callbacks", "eval_metric", "evals_result_"}),
    # The leaves of its tree are chained in both directions; `partial_fit` alone reads them.
    "sklearn.cluster._birch.Birch": frozenset({"root_", "dummy_leaf_"}),
    # Distributions to draw from; nothing is drawn any more.
    "sklearn.model_selection._search.RandomizedSearchCV": frozenset({"param_distributions"}),
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV": frozenset(
        {"param_distributions"}
    ),
}
# What it learned is rows of the training table, and nothing asks it once a pipeline is fitted.
_SAMPLER = "imblearn.base.SamplerMixin"


def kept(value: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an estimator's state that is written."""
    left: frozenset[str] = frozenset().union(
        *(names for kind, names in _OF_TYPES.items() if kind in ancestors(type(value)))
    )
    if _SAMPLER in ancestors(type(value)):
        left |= {name for name in state if name.endswith("_")}
    return {name: held for name, held in state.items() if name not in left}
