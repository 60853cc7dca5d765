"""Neighbours, centres, parts and splines, held to the table they were learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import issparse
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree
from sklearn.preprocessing import PolynomialFeatures

from secureml.models.unpickling.fitted_numbers import Fitted, within
from secureml.models.unpickling.graph import attributes_of

_HIGHEST_DEGREE = 256  # counting the terms of a degree takes time in its square
_NORMS = ("X_norm_squared", "Y_norm_squared")


def check_neighbours(fitted: Fitted) -> None:
    """Hold the rows learned, their tree and their number to each other."""
    for name in ("metric_params", "effective_metric_params_"):
        given = fitted.state.get(name)
        fitted.demand(given is None or type(given) is dict, name, "is not a dictionary")
        fitted.demand(not set(_NORMS) & set(given or ()), name, "gives norms of other rows")
    _check_distances(fitted)
    # A tree keeps the nearest in a heap of so many places, and writes into the first unasked.
    if fitted.state.get("n_neighbors") is not None:
        fitted.whole("n_neighbors", 1)
    if not fitted.has("_fit_X", "_tree", "n_samples_fit_"):
        return
    count = fitted.whole("n_samples_fit_", 1)
    rows: Any = fitted.state.get("_fit_X")
    if not issparse(rows):
        fitted.array("_fit_X", "fiub", count, None)
    else:
        fitted.demand(attributes_of(rows).get("_shape", ())[:1] == (count,), "_fit_X", "is cut")
    tree: Any = fitted.state.get("_tree")
    if type(tree) in (KDTree, BallTree):
        held = tree.__getstate__()[0].shape
        fitted.demand(held == (count, fitted.columns()), "_tree", f"holds a table of {held}")
    else:
        fitted.demand(tree is None, "_tree", "is not a tree of neighbours")


def _check_distances(fitted: Fitted) -> None:
    for name in ("metric", "effective_metric_"):
        given = fitted.state.get(name)
        # A distance made by the file brings sizes of its own; by its name it is made anew.
        fitted.demand(not isinstance(given, DistanceMetric), name, "is a compiled distance")


def check_voters(fitted: Fitted) -> None:
    """Hold the labels of a classifier by neighbours to its rows and classes."""
    if not fitted.has("_y"):
        return
    several = fitted.state.get("outputs_2d_")
    fitted.demand(type(several) is bool, "outputs_2d_", "is neither true nor false")
    shape = (fitted.whole("n_samples_fit_", 1), *((None,) if several else ()))
    labels = fitted.array("_y", "iu", *shape)
    if not several:
        known = fitted.array("classes_", "biufOUS", None)
        fitted.demand(within(labels, len(known)), "_y", "points outside classes_")


def check_means(fitted: Fitted) -> None:
    """Hold the centres to the columns."""
    if fitted.has("cluster_centers_"):
        centres = fitted.array("cluster_centers_", "f", None, fitted.columns())
        fitted.demand(len(centres), "cluster_centers_", "is empty")


def check_bisected(fitted: Fitted) -> None:
    """Hold every centre in a tree of halves to the columns."""
    waiting, seen = [fitted.state.get("_bisecting_tree")], set()
    while waiting:
        node = waiting.pop()
        own = attributes_of(node)
        if id(node) in seen or own.get("left") is None:
            continue
        seen.add(id(node))
        for side in ("left", "right"):
            child = Fitted(f"{fitted.kind}._bisecting_tree", attributes_of(own.get(side)))
            child.array("center", "f", fitted.columns())
            waiting.append(own[side])


def check_birch(fitted: Fitted) -> None:
    """Hold the norms to the centres they belong to."""
    if fitted.has("subcluster_centers_", "_subcluster_norms"):
        centres = fitted.array("subcluster_centers_", "f", None, fitted.columns())
        fitted.array("_subcluster_norms", "f", len(centres))


def check_topics(fitted: Fitted) -> None:
    """Hold topics to the words they weigh."""
    for name in ("components_", "exp_dirichlet_component_"):
        if fitted.has(name):
            fitted.array(name, "f", None, fitted.columns())


def check_factors(fitted: Fitted) -> None:
    """Hold factors to the columns."""
    if fitted.has("components_"):
        fitted.array("components_", "f", None, fitted.columns())


def check_splines(fitted: Fitted) -> None:
    """Hold the splines to the columns."""
    splines = fitted.state.get("bsplines_", [])
    fitted.demand(
        type(splines) is list and all(type(spline) is BSpline for spline in splines),
        "bsplines_", "does not hold splines",
    )  # fmt: skip
    if splines:
        fitted.demand(
            len(splines) == fitted.columns(), "bsplines_", "does not hold one for each column"
        )


def check_spline(fitted: Fitted) -> None:
    """Hold one spline to what SciPy demands where it makes one."""
    degree = fitted.whole("k")
    knots = fitted.array("_t", "f", None)
    weights = fitted.state.get("_c")
    parts = len(knots) - degree - 1
    fitted.demand(parts > degree, "k", "is too high for the number of knots")
    fitted.demand(np.isfinite(knots).all() and (np.diff(knots) >= 0).all(), "_t", "is not in order")
    fitted.demand(
        type(weights) is np.ndarray
        and weights.dtype.kind == "f"
        and weights.ndim >= 1
        and len(weights) >= parts,
        "_c", f"holds fewer than {parts} coefficients",
    )  # fmt: skip


def check_polynomials(fitted: Fitted) -> None:
    """Hold the width of a table of terms to the terms that are written into it."""
    if not fitted.has("_n_out_full", "_max_degree"):
        return
    degree, width = fitted.whole("_max_degree"), fitted.whole("_n_out_full")
    fitted.demand(degree <= _HIGHEST_DEGREE, "_max_degree", f"is above {_HIGHEST_DEGREE}")
    choices = [fitted.state.get(name) for name in ("interaction_only", "include_bias")]
    for name, choice in zip(("interaction_only", "include_bias"), choices, strict=True):
        fitted.demand(type(choice) in (bool, np.bool_), name, "is neither true nor false")
    terms = PolynomialFeatures._num_combinations(  # noqa: SLF001 - it must be the very number
        fitted.columns(), 0, degree, *choices
    )
    fitted.demand(width == terms, "_n_out_full", f"is not {terms}, the number of terms")


def check_targets(fitted: Fitted) -> None:
    """Hold encodings by the target to the columns they are written into."""
    if not fitted.has("encodings_"):
        return
    encodings, kind = fitted.state["encodings_"], fitted.state.get("target_type_")
    fitted.demand(type(kind) is str, "target_type_", "is not text")
    each = 1
    if kind == "multiclass":
        each = len(fitted.array("classes_", "biufOUS", None))
    fitted.demand(
        type(encodings) is list and len(encodings) == fitted.columns() * each,
        "encodings_", "does not hold one entry for each column",
    )  # fmt: skip
