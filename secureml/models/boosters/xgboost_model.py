"""A booster of XGBoost as its own binary JSON, and the check of it before XGBoost reads it.

XGBoost follows the children and columns of a tree as they are written, without bounds. So each
tree must be one: every node below one other at most, and its columns those that there are
(https://xgboost.readthedocs.io/en/stable/dev/structxgboost_1_1RegTree.html).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from secureml.models.boosters import ubjson
from secureml.models.boosters.refusal import MOST_COLUMNS, MOST_TREES, not_served, refuse

_LIBRARY = "XGBoost"
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_BASE = re.compile(r"\[?[-+0-9.eE, naifNAIF]{1,100000}\]?", re.ASCII)
_OBJECTIVE = re.compile(r"[a-z]{2,10}:[a-z_0-9]{2,30}", re.ASCII)
_MOST_GROUPS = 100_000
_PER_NODE = (
    "left_children", "right_children", "parents", "split_indices", "split_conditions",
    "default_left", "base_weights", "loss_changes", "sum_hessian", "split_type",
)  # fmt: skip


def content_of(booster: Any) -> bytes:
    """Return a booster in its own binary JSON; raises ModelRefused."""
    content = bytes(booster.save_raw("ubj"))
    check(content)
    return content


def booster_of(content: bytes) -> Any:
    """Return the booster that checked bytes describe; it works in one thread."""
    check(content)
    from xgboost import Booster  # noqa: PLC0415 - an extra, imported where a model needs it

    booster = Booster()
    booster.load_model(bytearray(content))
    use_one_thread(booster)
    return booster


def use_one_thread(booster: Any) -> None:
    """Have a booster answer in the thread that asks it."""
    booster.set_param({"nthread": 1})


def check(content: bytes) -> None:
    """Refuse bytes that XGBoost would not write, or would follow out of its memory."""
    try:
        _check_learner(_mapping(ubjson.loads(content), "learner"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise refuse(_LIBRARY, f"is not what XGBoost writes ({error})") from None


def _mapping(holder: Any, name: str) -> Any:
    found = holder[name]
    if type(found) is not dict:
        raise ValueError(f"{name} is no object")
    return found


def _whole(holder: Mapping[str, Any], name: str, most: int) -> int:
    text = holder[name]
    if type(text) is not str or not _NUMBER.fullmatch(text) or int(text) > most:
        raise ValueError(f"{name} is no number up to {most}")
    return int(text)


def _numbers(holder: Mapping[str, Any], name: str, kind: str, length: int | None = None) -> Any:
    found = holder[name]
    if type(found) is list and all(type(number) in (int, float) for number in found):
        found = np.array(found)  # where XGBoost writes each with its own type
    if type(found) is not np.ndarray or (found.size and found.dtype.kind not in kind):
        raise ValueError(f"{name} holds no numbers")
    if length is not None and len(found) != length:
        raise ValueError(f"{name} does not hold {length} numbers")
    return found.astype("i8") if "f" not in kind else found


def _check_learner(learner: Mapping[str, Any]) -> None:
    parameters = _mapping(learner, "learner_model_param")
    columns = _whole(parameters, "num_feature", MOST_COLUMNS)
    groups = max(1, _whole(parameters, "num_class", _MOST_GROUPS))
    targets = max(1, _whole(parameters, "num_target", _MOST_GROUPS))
    if not _BASE.fullmatch(parameters["base_score"]):
        raise ValueError("base_score is no number")
    if not _OBJECTIVE.fullmatch(_mapping(learner, "objective")["name"]):
        raise ValueError("the objective has no name")
    _check_texts(learner, columns)
    booster = _mapping(learner, "gradient_booster")
    if booster["name"] == "gblinear":
        _numbers(_mapping(booster, "model"), "weights", "f", (columns + 1) * max(groups, targets))
        return
    if booster["name"] == "dart":
        tree_booster = _mapping(booster, "gbtree")
        trees = _check_trees(_mapping(tree_booster, "model"), columns, max(groups, targets))
        _numbers(booster, "weight_drop", "f", trees)
        return
    if booster["name"] != "gbtree":
        raise ValueError("the booster has no known name")
    _check_trees(_mapping(booster, "model"), columns, max(groups, targets))


def _check_texts(learner: Mapping[str, Any], columns: int) -> None:
    for name in ("feature_names", "feature_types"):
        texts = learner[name]
        if type(texts) is not list or len(texts) not in (0, columns):
            raise ValueError(f"{name} is not one for each column")
        if any(type(text) is not str for text in texts):
            raise ValueError(f"{name} holds no texts")
    if any(type(text) is not str for text in _mapping(learner, "attributes").values()):
        raise ValueError("an attribute is no text")


def _check_trees(model: Mapping[str, Any], columns: int, groups: int) -> int:
    """Check the trees of a model and return how many there are."""
    parameters = _mapping(model, "gbtree_model_param")
    count = _whole(parameters, "num_trees", MOST_TREES)
    trees = model["trees"]
    if type(trees) is not list or len(trees) != count:
        raise ValueError(f"it does not hold {count} trees")
    for place, tree in enumerate(trees):
        if tree["id"] != place:
            raise ValueError(f"tree {place} has another number")
        _check_tree(tree, columns)
    info = _numbers(model, "tree_info", "iu", count)
    if count and not ((info >= 0) & (info < groups)).all():
        raise ValueError("tree_info names an output that there is not")
    rounds = _numbers(model, "iteration_indptr", "iu")
    if len(rounds) < 1 or rounds[0] != 0 or rounds[-1] != count or (np.diff(rounds) < 0).any():
        raise ValueError("iteration_indptr does not divide the trees")
    if "cats" in model and any(len(part) for part in _mapping(model, "cats").values()):
        raise _categories()
    return count


def _categories() -> Exception:
    return not_served(
        _LIBRARY,
        "was trained on columns of categories (enable_categorical)",
        "encode them in a step before it, for instance with OrdinalEncoder in a pipeline",
    )


def _check_tree(tree: Mapping[str, Any], columns: int) -> None:
    parameters = _mapping(tree, "tree_param")
    nodes = _whole(parameters, "num_nodes", 2**31 - 1)
    if parameters["size_leaf_vector"] not in ("0", "1"):
        raise not_served(
            _LIBRARY,
            "has trees of several values a leaf (multi_strategy)",
            "train it with multi_strategy='one_output_per_tree'",
        )
    parts = {name: _numbers(tree, name, "iufb", nodes) for name in _PER_NODE}
    if parts["split_type"].any() or len(tree["categories_nodes"]):
        raise _categories()
    left = parts["left_children"].astype("i8")
    right = parts["right_children"].astype("i8")
    inner = left != -1
    if (inner != (right != -1)).any() or nodes < 1:
        raise ValueError("a node has one child")
    below = np.concatenate([left[inner], right[inner]])
    # No node twice, and never the root: what is reached from the root is a tree.
    if below.size and (below.min() < 1 or below.max() >= nodes):
        raise ValueError("a child lies outside of its tree")
    if len(np.unique(below)) != below.size:
        raise ValueError("a node has two parents")
    # XGBoost looks each node up in its parent, those that pruning has cut off among them.
    parents, above = parts["parents"].astype("i8"), np.flatnonzero(inner)
    if nodes > 1 and (parents[1:].min() < 0 or parents[1:].max() >= nodes):
        raise ValueError("a parent lies outside of its tree")
    if (parents[below] != np.concatenate([above, above])).any():
        raise ValueError("a node has another parent than the one above it")
    asked = parts["split_indices"].astype("i8")[inner]
    if asked.size and (asked.min() < 0 or asked.max() >= columns):
        raise ValueError("a node asks for a column that there is not")
