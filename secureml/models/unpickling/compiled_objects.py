"""State of compiled objects, checked before they take it.

Trees, distances and random generators of scikit-learn and NumPy are compiled: they believe
the numbers they are given, and read memory where those point. What can be checked without
knowing the data is checked here: exact arrays, sizes that agree, nodes that point forward
inside their own array. How they fit what holds them is checked after (``compiled_consistency``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import MT19937, PCG64, Generator, RandomState
from numpy.random.bit_generator import BitGenerator, SeedSequence
from sklearn._loss._loss import CyHalfMultinomialLoss
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree._tree import Tree

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.fitted_numbers import within

_GENERATORS: tuple[type, ...] = (MT19937, PCG64)
_MT_WORDS = 624
_LOSS = re.compile(r"sklearn\._loss\._loss\.Cy\w+|sklearn\.linear_model\._sgd_fast\.\w+", re.ASCII)


def refuse(what: str) -> ModelRefused:
    """Return the refusal of a compiled part that its library would have written otherwise."""
    return ModelRefused(
        "globals",
        f"the model file builds {what} as its library would not write it",
        "write the model again with joblib.dump",
    )


def _demand(right: Any, what: str) -> None:
    if not right:
        raise refuse(what)


def _is_array(value: Any, kind: str, dimensions: int) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in kind and value.ndim == dimensions


def _is_whole(value: Any, lowest: int = 0) -> bool:
    return (type(value) is int or isinstance(value, np.integer)) and int(value) >= lowest


# --- Random generators ------------------------------------------------------------------------


def _bit_generator(kind: Any) -> Any:
    for known in _GENERATORS:
        if kind is known or (type(kind) is str and kind == known.__name__):
            return known()
    raise refuse("a random generator")


def _seeds(kind: Any, checksum: Any, state: Any) -> Any:
    del checksum
    _demand(kind is SeedSequence and state is None, "a random seed")
    return SeedSequence(0)


def _generator(bits: Any, *_: Any) -> Any:
    _demand(type(bits) in _GENERATORS, "a random generator")
    return Generator(bits)


def _random_state(bits: Any, *_: Any) -> Any:
    _demand(type(bits) in _GENERATORS, "a random generator")
    return RandomState(bits)


def _check_bits(target: Any, state: Any) -> None:
    _demand(type(state) is tuple and len(state) == 2, "a random generator")
    _demand(state[1] is None or type(state[1]) is SeedSequence, "a random generator")
    _check_bit_state(type(target), state[0])


def _check_random_state(target: Any, state: Any) -> None:
    del target
    _check_bit_state(MT19937, state)


def _check_bit_state(kind: type, state: Any) -> None:
    what = "a random generator"
    _demand(type(state) is dict and type(state.get("state")) is dict, what)
    inner, name = state["state"], state.get("bit_generator")
    _demand(type(name) is str and name == kind.__name__, what)
    rest = [value for key, value in state.items() if key not in ("state", "bit_generator")]
    _demand(all(type(value) in (int, float) for value in rest), what)
    if kind is not MT19937:
        _demand(all(type(value) is int for value in inner.values()), what)
        return
    key = inner.get("key")
    _demand(_is_array(key, "u", 1) and key.shape == (_MT_WORDS,), what)
    # One past the end means "make new words"; beyond it, memory that is not ours is read.
    _demand(type(inner.get("pos")) is int and 0 <= inner["pos"] <= _MT_WORDS, what)


def _check_seeds(target: Any, state: Any) -> None:
    del target
    what = "a random seed"
    _demand(type(state) is tuple and len(state) == 5, what)
    entropy, spawned, pool, size, key = state
    words = entropy if type(entropy) in (list, tuple) else (entropy,)
    _demand(all(word is None or _is_whole(word) for word in words), what)
    _demand(_is_whole(spawned) and _is_array(pool, "u", 1), what)
    _demand(_is_whole(size, 4) and pool.shape == (size,), what)
    _demand(type(key) is tuple and all(map(_is_whole, key)), what)


# --- Distances and neighbours -----------------------------------------------------------------


def _metric(kind: Any) -> Any:
    known = isinstance(kind, type) and issubclass(kind, DistanceMetric)
    # PyFuncDistance calls a function that came with the file.
    _demand(known and not kind.__name__.startswith("PyFunc"), "a distance")
    return kind.__new__(kind)


def _check_metric(target: Any, state: Any) -> None:
    del target
    _demand(type(state) is tuple and len(state) == 3 and type(state[0]) is float, "a distance")
    _demand(_is_array(state[1], "f", 1) and _is_array(state[2], "f", 2), "a distance")
    _demand(state[2].shape[0] == state[2].shape[1], "a distance")


def _fits_metric(metric: Any, columns: int) -> bool:
    """Return whether a distance reads no more of its own vector and matrix than there is."""
    _, vector, matrix = metric.__getstate__()
    kind = type(metric).__name__.rstrip("0123456789")
    read = {"SEuclideanDistance": len(vector), "MahalanobisDistance": len(matrix)}
    read |= {"MinkowskiDistance": len(vector) or columns, "HaversineDistance": 2}
    return read.get(kind, columns) == columns


def _neighbours(kind: Any) -> Any:
    _demand(kind is KDTree or kind is BallTree, "a tree of neighbours")
    return kind.__new__(kind)


def _check_neighbours(target: Any, state: Any) -> None:
    what = "a tree of neighbours"
    _demand(type(state) is tuple and len(state) == 13, what)
    data, order, nodes, bounds, *counts = state[:11]
    metric, weights = state[11:]
    _demand(all(map(_is_whole, counts)) and isinstance(metric, DistanceMetric), what)
    _demand(_is_array(data, "f", 2) and _is_array(order, "i", 1), what)
    _demand(_is_array(nodes, "V", 1) and _is_array(bounds, "f", 3), what)
    _demand(weights is None or (_is_array(weights, "f", 1) and len(weights) == len(data)), what)
    _demand(nodes.dtype.names == ("idx_start", "idx_end", "is_leaf", "radius"), what)
    count = counts[2]
    _demand(count >= 1 and len(nodes) == count and bounds.shape[1] == count, what)
    # A KD tree keeps the lower and the upper bounds of a node, a ball tree its centre.
    _demand(bounds.shape[0] == (2 if type(target) is KDTree else 1), what)
    _demand(data.size and bounds.shape[2] == data.shape[1], what)
    _demand(_fits_metric(metric, data.shape[1]), what)
    _demand(within(order, len(data)) and len(order) == len(data), what)
    _demand(within(nodes["idx_start"], len(data) + 1), what)
    _demand(within(nodes["idx_end"], len(data) + 1), what)
    # Node i has its children at 2i + 1 and 2i + 2.
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _demand(not inner.size or 2 * int(inner.max()) + 2 < count, what)


# --- Decision trees ---------------------------------------------------------------------------


def _tree(features: Any, classes: Any, outputs: Any) -> Any:
    what = "a decision tree"
    _demand(_is_whole(features) and _is_whole(outputs, 1), what)
    _demand(_is_array(classes, "i", 1) and classes.shape == (outputs,), what)
    _demand(within(classes - 1, 2**31), what)
    return Tree(features, classes, outputs)


def _check_tree(tree: Any, state: Any) -> None:
    what = "a decision tree"
    _demand(
        type(state) is dict and state.keys() == {"max_depth", "node_count", "nodes", "values"}, what
    )
    nodes, values, count = state["nodes"], state["values"], state["node_count"]
    _demand(_is_whole(state["max_depth"]) and _is_whole(count, 1), what)
    _demand(_is_array(nodes, "V", 1) and len(nodes) == count, what)
    _demand(_is_array(values, "f", 3), what)
    _demand(values.shape == (count, tree.n_outputs, tree.max_n_classes), what)
    _demand({"left_child", "right_child", "feature"} <= set(nodes.dtype.names or ()), what)
    inner = nodes["left_child"] != -1
    _demand(((nodes["right_child"] != -1) == inner).all(), what)
    _demand(_point_forward(nodes, "left_child", "right_child", inner), what)
    _demand(within(nodes["feature"][inner], tree.n_features), what)
    # A path through the tree is written into as many places as it says it is deep.
    _demand(_depth(nodes) <= state["max_depth"], what)


def _depth(nodes: Any) -> int:
    """Return the edges from the root to the deepest node, of nodes that point forward."""
    level, depth = np.zeros(1, "i8"), -1
    while level.size:
        depth += 1
        inner = level[nodes["left_child"][level] != -1]
        level = np.concatenate((nodes["left_child"][inner], nodes["right_child"][inner]))
    return depth


def _point_forward(nodes: Any, left: str, right: str, inner: Any) -> bool:
    """Return whether each inner node's children come after it, and are its own.

    So there is no loop, nothing outside, and no more paths than nodes.
    """
    indices = np.flatnonzero(inner)
    every = np.concatenate([nodes[side][inner] for side in (left, right)])
    if len(np.unique(every)) != len(every):
        return False
    for side in (left, right):
        children = nodes[side][inner].astype("i8")
        if not ((children > indices) & (children < len(nodes))).all():
            return False
    return True


def check_boosted_tree(state: Any) -> None:
    """Hold the nodes of a histogram-boosted tree to themselves; raises ModelRefused."""
    what = "a boosted tree"
    nodes = state.get("nodes")
    _demand(_is_array(nodes, "V", 1) and len(nodes) >= 1, what)
    names = set(nodes.dtype.names or ())
    _demand({"left", "right", "is_leaf", "is_categorical", "bitset_idx"} <= names, what)
    _demand(_point_forward(nodes, "left", "right", nodes["is_leaf"] == 0), what)
    bitsets = [state.get(f"{kind}_left_cat_bitsets") for kind in ("binned", "raw")]
    _demand(all(_is_array(bitset, "u", 2) for bitset in bitsets), what)
    bitset_indices = nodes["bitset_idx"][nodes["is_categorical"] != 0]
    _demand(all(within(bitset_indices, len(bitset)) for bitset in bitsets), what)


def check_isotonic(state: Any) -> None:
    """Hold an isotonic regression to the arrays it is rebuilt from; raises ModelRefused."""
    for name in ("X_thresholds_", "y_thresholds_"):
        if name in state:
            _demand(_is_array(state[name], "f", 1), "an isotonic regression")
    if "out_of_bounds" in state:
        _demand(type(state["out_of_bounds"]) is str, "an isotonic regression")


def _multinomial_loss(kind: Any, checksum: Any, state: Any) -> Any:
    del checksum
    _demand(kind is CyHalfMultinomialLoss and type(state) is tuple and not state, "a loss")
    return CyHalfMultinomialLoss()


# --- What a pickle may call, and what it may give state to ------------------------------------

CALLS: dict[str, Callable[..., Any]] = {
    "numpy.random._pickle.__bit_generator_ctor": _bit_generator,
    "numpy.random._pickle.__generator_ctor": _generator,
    "numpy.random._pickle.__randomstate_ctor": _random_state,
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": _seeds,
    "sklearn._loss._loss.__pyx_unpickle_CyHalfMultinomialLoss": _multinomial_loss,
    "sklearn.metrics._dist_metrics.newObj": _metric,
    "sklearn.neighbors._ball_tree.newObj": _neighbours,
    "sklearn.neighbors._kd_tree.newObj": _neighbours,
    "sklearn.tree._tree.Tree": _tree,
}
_STATES: tuple[tuple[type, Callable[[Any, Any], None]], ...] = (
    (BitGenerator, _check_bits),
    (RandomState, _check_random_state),
    (SeedSequence, _check_seeds),
    (DistanceMetric, _check_metric),
    (KDTree, _check_neighbours),
    (BallTree, _check_neighbours),
    (Tree, _check_tree),
)
# Without its state, each of these reads memory that was never filled.
NEEDS_STATE: tuple[type, ...] = (KDTree, BallTree, Tree)
KINDS: tuple[type, ...] = (Generator, *(kind for kind, _ in _STATES))


def loss(name: str, kind: Any) -> Callable[..., Any] | None:
    """Return how to make one of the compiled loss functions: from a few numbers and no more."""
    if not _LOSS.fullmatch(name) or not isinstance(kind, type):
        return None

    def make(*numbers: Any) -> Any:
        _demand(len(numbers) <= 2 and all(type(number) is float for number in numbers), "a loss")
        return kind(*numbers)

    return make


def state_check(target: Any) -> Callable[[Any, Any], None] | None:
    """Return the check of what a compiled object may be given as its state."""
    return next((check for kind, check in _STATES if isinstance(target, kind)), None)
