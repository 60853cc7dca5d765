"""Trees and their ensembles, held to the columns and answers they are used with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn._loss.link import BaseLink
from sklearn._loss.loss import HalfMultinomialLoss
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._tree import Tree

from secureml.models.unpickling.boosting_columns import check_preprocessor
from secureml.models.unpickling.compiled_objects import check_boosted_tree
from secureml.models.unpickling.fitted_numbers import Fitted, within
from secureml.models.unpickling.graph import attributes_of

_BITSET_WORDS = 8  # 256 categories, a bit each


def check_tree_owner(fitted: Fitted) -> None:
    """Hold a tree to the columns its owner takes."""
    if fitted.has("tree_"):
        _demand_tree(fitted, "tree_", fitted.state["tree_"], fitted.columns())


def _demand_tree(fitted: Fitted, name: str, tree: Any, columns: int) -> None:
    fitted.demand(type(tree) is Tree, name, "is not a decision tree")
    fitted.demand(
        tree.n_features == columns,
        name, f"was grown on {tree.n_features} columns, but n_features_in_ says {columns}",
    )  # fmt: skip


def check_forest(fitted: Fitted) -> None:
    """Hold every tree of a forest to the columns the forest takes."""
    if not fitted.has("estimators_"):
        return
    members = fitted.state["estimators_"]
    fitted.demand(type(members) is list, "estimators_", "is not a list")
    for member in members:
        tree: Any = attributes_of(member).get("tree_")
        _demand_tree(fitted, "estimators_", tree, fitted.columns())


def check_bagging(fitted: Fitted) -> None:
    """Hold the columns each member sees to the columns there are."""
    chosen = fitted.state.get("estimators_features_", [])
    fitted.demand(type(chosen) is list, "estimators_features_", "is not a list")
    for indices in chosen:
        fitted.demand(
            type(indices) is np.ndarray
            and indices.dtype.kind in "iu"
            and indices.ndim == 1
            and within(indices, fitted.columns()),
            "estimators_features_", "names columns that the model does not have",
        )  # fmt: skip


def check_boosting(fitted: Fitted) -> None:
    """Hold the stages of gradient boosting to the columns of the array they are added to."""
    if not fitted.has("estimators_"):
        return
    columns, each = fitted.columns(), fitted.whole("n_trees_per_iteration_", 1)
    stages = fitted.array("estimators_", "O", None, each)
    fitted.demand(len(stages), "estimators_", "is empty")
    for member in stages.ravel().tolist():
        fitted.demand(
            type(member) is DecisionTreeRegressor, "estimators_", "holds something else than trees"
        )
        tree: Any = attributes_of(member).get("tree_")
        _demand_tree(fitted, "estimators_", tree, columns)
        fitted.demand(
            tree.n_outputs == 1 and tree.max_n_classes == 1,
            "estimators_", "holds a tree with more than one value at each node",
        )  # fmt: skip
    _check_first_guess(fitted, each)


def _check_first_guess(fitted: Fitted, each: int) -> None:
    """Hold ``init_`` to one answer for each row and tree: what it answers is written into."""
    guess = fitted.state.get("init_")
    if type(guess) is str and guess == "zero":
        return
    fitted.demand(
        type(guess) in (DummyClassifier, DummyRegressor),
        "init_", "is an estimator whose answers cannot be held to a shape beforehand "
        "(train with init=None or init='zero')",
    )  # fmt: skip
    loss = fitted.state.get("_loss")
    own = attributes_of(loss)
    fitted.demand(
        (type(loss) is HalfMultinomialLoss) == (each > 1)
        and "is_multiclass" not in own
        and isinstance(own.get("link"), BaseLink),
        "_loss", f"does not go with {each} tree(s) in each stage",
    )  # fmt: skip
    inner = Fitted(f"{fitted.kind}.init_", attributes_of(guess))
    inner.demand(inner.whole("n_outputs_") == 1, "n_outputs_", "is not 1")
    if type(guess) is DummyRegressor:
        fitted.demand(each == 1, "init_", "is a regressor beside several classes")
        inner.array("constant_", "fiu", 1, 1)
        return
    classes = max(each, 2)
    inner.demand(inner.whole("n_classes_") == classes, "n_classes_", f"is not {classes}")
    inner.array("class_prior_", "f", classes)


def check_histograms(fitted: Fitted) -> None:
    """Hold the nodes of histogram boosting to the columns, and to the categories known."""
    if not fitted.has("_predictors", "_bin_mapper"):
        return
    columns = fitted.columns()
    # While it trains, it takes rows as bins, unchecked.
    fitted.demand(fitted.state.get("_in_fit") in (None, False), "_in_fit", "says it still trains")
    check_preprocessor(fitted, columns)
    mapper = fitted.state.get("_bin_mapper")
    fitted.demand(type(mapper) is _BinMapper, "_bin_mapper", "is not a bin mapper")
    bins = Fitted(f"{fitted.kind}._bin_mapper", attributes_of(mapper))
    categorical = bins.array("is_categorical_", "bu", columns)
    bins.demand(within(categorical.astype("u1"), 2), "is_categorical_", "is not 0 or 1")
    thresholds = bins.state.get("bin_thresholds_")
    bins.demand(
        type(thresholds) is list and len(thresholds) == columns,
        "bin_thresholds_", "does not hold one entry for each column",
    )  # fmt: skip
    for tree in _boosted_trees(fitted):
        _check_boosted_nodes(fitted, tree, categorical)


def _boosted_trees(fitted: Fitted) -> Iterator[dict[str, Any]]:
    each = fitted.whole("n_trees_per_iteration_", 1)
    stages = fitted.state.get("_predictors")
    fitted.demand(type(stages) is list, "_predictors", "is not a list")
    for stage in stages or ():
        fitted.demand(
            type(stage) is list
            and len(stage) == each
            and all(type(tree) is TreePredictor for tree in stage),
            "_predictors", f"does not hold {each} tree(s) in each stage",
        )  # fmt: skip
        yield from (attributes_of(tree) for tree in stage)


def _check_boosted_nodes(fitted: Fitted, tree: dict[str, Any], categorical: Any) -> None:
    check_boosted_tree(tree)
    nodes = tree["nodes"]
    inner = nodes[nodes["is_leaf"] == 0]
    fitted.demand(
        within(inner["feature_idx"], len(categorical)),
        "_predictors", "asks for columns that the model does not have",
    )  # fmt: skip
    by_category = inner["feature_idx"][inner["is_categorical"] != 0]
    fitted.demand(
        (categorical[by_category] != 0).all(),
        "_predictors", "asks for categories of a column that has none",
    )  # fmt: skip
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        fitted.demand(
            tree[name].shape[1] == _BITSET_WORDS, "_predictors", f"holds {name} of a wrong width"
        )
