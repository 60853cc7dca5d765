"""A booster of LightGBM as its own text, and the check of it before LightGBM reads it.

LightGBM follows children, columns and bitsets of a tree as they are written, without bounds, and
finds each tree by the length that the header says (``tree_sizes``). So every line is one that
LightGBM writes, each once, and every number lies within what it points into.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from secureml.models.boosters.refusal import MOST_COLUMNS, MOST_TREES, not_served, refuse

_LIBRARY = "LightGBM"
_END = "end of trees\n"
_DEEPEST = 4096  # LightGBM walks over a tree by recursion while it reads it
_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_FLOAT = re.compile(r"-?([0-9]{1,30}(\.[0-9]{1,30})?(e[-+]?[0-9]{1,4})?|inf|nan)", re.ASCII)
_OBJECTIVE = re.compile(
    r"[a-z0-9_]{1,40}( [a-z_]{1,40}:[-+.0-9e]{1,40}| [a-z]{1,20}){0,8}", re.ASCII
)
_OF_CLASSES = frozenset({"multiclass", "multiclassova"})
_HEADER = (
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx",
    "objective", "average_output", "feature_names", "monotone_constraints", "feature_infos",
    "tree_sizes",
)  # fmt: skip
_PER_SPLIT = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "internal_value", "internal_weight", "internal_count",
)  # fmt: skip
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_OF_TREES = frozenset(
    {"num_leaves", "num_cat", "cat_boundaries", "cat_threshold", "is_linear", "shrinkage"}
    | {*_PER_SPLIT, *_PER_LEAF}
)
_FLOATS = frozenset(
    {"split_gain", "threshold", "internal_value", "internal_weight", "leaf_value", "leaf_weight",
     "shrinkage"}
)  # fmt: skip


def content_of(booster: Any) -> bytes:
    """Return the trees of a booster as its own text; raises ModelRefused."""
    text: str = booster.model_to_string(num_iteration=-1)
    trees = text[: text.find(_END) + len(_END)] if _END in text else text
    content = trees.encode("utf-8")
    check(content)
    return content


def booster_of(content: bytes) -> Any:
    """Return the booster that checked bytes describe."""
    check(content)
    from lightgbm import Booster  # noqa: PLC0415 - an extra, imported where a model needs it

    return Booster(model_str=content.decode("utf-8"))


def check(content: bytes) -> None:
    """Refuse bytes that LightGBM would not write, or would follow out of its memory."""
    try:
        text = content.decode("utf-8")
        if "\r" in text or "\0" in text or not text.endswith(_END):
            raise ValueError("it does not end as it should")
        _check(text[: -len(_END)])
    except (ValueError, KeyError, OverflowError) as error:
        raise refuse(_LIBRARY, f"is not what LightGBM writes ({error})") from None


def _check(text: str) -> None:
    start, _, rest = text.partition("\n\nTree=0\n")
    header = _header(start if rest else start.rstrip("\n"))
    columns = _number(header, "max_feature_idx") + 1
    each = _number(header, "num_tree_per_iteration")
    if not (1 <= columns <= MOST_COLUMNS and 1 <= each <= MOST_TREES):
        raise ValueError("it has no columns or no trees")
    # Answers are written where there is room for num_class of them.
    if _number(header, "num_class") != each:
        raise ValueError("num_class does not fit num_tree_per_iteration")
    for name in ("feature_names", "feature_infos", "monotone_constraints"):
        if name in header and len(header[name].split(" ")) != columns:
            raise ValueError(f"{name} is not one for each column")
    if "objective" in header:
        _check_objective(header["objective"], each)
    trees = _trees(text[len(start) + 2 :] if rest else "", header)
    if len(trees) % each or len(trees) > MOST_TREES:
        raise ValueError("its trees are not one for each output")
    for place, tree in enumerate(trees):
        _check_tree(tree, place, columns)


def _check_objective(text: str, classes: int) -> None:
    """Hold an objective to the classes there are: it writes as many outputs as itself says."""
    if not _OBJECTIVE.fullmatch(text):
        raise ValueError("the objective has no name")
    kind, *words = text.split(" ")
    said = [word for word in words if word.startswith("num_class")]
    if said != ([f"num_class:{classes}"] if kind in _OF_CLASSES else []):
        raise ValueError("the objective has other classes than num_class says")


def _header(text: str) -> dict[str, str]:
    first, *lines = text.split("\n")
    if first != "tree":
        raise ValueError("it does not begin as it should")
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition("=")
        if name not in _HEADER or name in found:
            raise ValueError(f"{name[:40]!r} is no line of its header, or is there twice")
        found[name] = value
    return found


def _number(lines: dict[str, str], name: str) -> int:
    if not _WHOLE.fullmatch(lines[name]):
        raise ValueError(f"{name} is no number")
    return int(lines[name])


def _trees(text: str, header: dict[str, str]) -> list[str]:
    """Return the text of each tree, which is as long as the header says."""
    sizes = header["tree_sizes"].split(" ") if header.get("tree_sizes") else []
    if any(not _WHOLE.fullmatch(size) for size in sizes):
        raise ValueError("tree_sizes holds no numbers")
    raw, begin, found = text.encode("utf-8"), 0, []
    for size in map(int, sizes):
        if size < 1 or begin + size > len(raw):
            raise ValueError("tree_sizes is longer than the trees")
        found.append(raw[begin : begin + size].decode("utf-8"))
        begin += size
    if raw[begin:].strip(b"\n"):
        raise ValueError("tree_sizes is shorter than the trees")
    return found


def _check_tree(text: str, place: int, columns: int) -> None:
    first, *lines = text.rstrip("\n").split("\n")
    if first != f"Tree={place}":
        raise ValueError(f"tree {place} has another number")
    tree = _lines_of_tree(lines)
    leaves, categories = _number(tree, "num_leaves"), _number(tree, "num_cat")
    if not 1 <= leaves <= 2**24 or categories < 0:
        raise ValueError("num_leaves or num_cat is no number of them")
    _array(tree, "shrinkage", 1)
    for name in _PER_LEAF:
        if name == "leaf_value" or tree.get(name):
            _array(tree, name, leaves)
    if leaves > 1:
        _check_splits(tree, leaves, categories, columns)
    elif categories:
        raise ValueError("a tree without splits has categories")


def _lines_of_tree(lines: list[str]) -> dict[str, str]:
    tree: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition("=")
        if name == "is_linear" and value != "0":
            raise _linear()
        if name not in _OF_TREES or name in tree:
            raise ValueError(f"{name[:40]!r} is no line of a tree, or is there twice")
        tree[name] = value
    return tree


def _linear() -> Exception:
    return not_served(
        _LIBRARY, "has a linear model in each leaf (linear_tree)", "train it with linear_tree=False"
    )


def _array(tree: dict[str, str], name: str, length: int) -> np.ndarray[Any, Any]:
    words = tree[name].split(" ")
    pattern = _FLOAT if name in _FLOATS else _WHOLE
    if len(words) != length or not all(map(pattern.fullmatch, words)):
        raise ValueError(f"{name} does not hold {length} numbers")
    return np.array(words, dtype="f8" if name in _FLOATS else "i8")


def _check_splits(tree: dict[str, str], leaves: int, categories: int, columns: int) -> None:
    splits = leaves - 1
    parts = {name: _array(tree, name, splits) for name in _PER_SPLIT}
    _within(parts["split_feature"], columns, "split_feature")
    _within(parts["decision_type"], 16, "decision_type")
    _check_shape(parts["left_child"].tolist(), parts["right_child"].tolist(), leaves)
    by_category = (parts["decision_type"] & 1) != 0
    if not categories:
        if by_category.any():
            raise ValueError("it splits by categories that it does not have")
        return
    bounds = _array(tree, "cat_boundaries", categories + 1)
    words = tree["cat_threshold"].split(" ")
    _within(_array(tree, "cat_threshold", len(words)), 2**32, "cat_threshold")
    if bounds[0] != 0 or bounds[-1] != len(words) or (np.diff(bounds) < 0).any():
        raise ValueError("cat_boundaries does not divide cat_threshold")
    _within(parts["threshold"][by_category], categories, "threshold")


def _within(numbers: np.ndarray[Any, Any], end: int, name: str) -> None:
    # A number that is none is within nothing.
    if numbers.size and not ((numbers >= 0) & (numbers < end)).all():
        raise ValueError(f"{name} points outside")


def _check_shape(left: list[int], right: list[int], leaves: int) -> None:
    """Refuse children that do not make one tree of all splits and all leaves."""
    seen_splits: set[int] = {0}
    seen_leaves: set[int] = set()
    level, depth = [0], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"a tree is deeper than {_DEEPEST}")
        below = [child for split in level for child in (left[split], right[split])]
        level = [child for child in below if child >= 0]
        ends = [~child for child in below if child < 0]
        if any(child >= leaves - 1 for child in level) or any(end >= leaves for end in ends):
            raise ValueError("a child lies outside of its tree")
        count = len(seen_splits) + len(seen_leaves) + len(below)
        seen_splits.update(level)
        seen_leaves.update(ends)
        if len(seen_splits) + len(seen_leaves) != count:
            raise ValueError("a node has two parents")
    if len(seen_leaves) != leaves:
        raise ValueError("a leaf is below no split")
