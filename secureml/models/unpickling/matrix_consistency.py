"""Sparse matrices that Python code builds out of fitted numbers: their places held to a width.

SciPy's loops trust a matrix once it stands, and its constructor looks at lengths only.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from secureml.models.unpickling.fitted_numbers import Fitted, is_whole, within


def check_vocabulary(fitted: Fitted) -> None:
    """Hold the places of words to the number of words."""
    if not fitted.has("vocabulary_"):
        return
    words = fitted.state["vocabulary_"]
    fitted.demand(type(words) is dict, "vocabulary_", "is not a dictionary")
    fitted.demand(
        all(is_whole(index) and 0 <= index < len(words) for index in words.values()),
        "vocabulary_", f"points outside its {len(words)} columns",
    )  # fmt: skip


def check_hashing(fitted: Fitted) -> None:
    """Hold hashed places to a number that can be counted."""
    if fitted.has("n_features"):
        fitted.whole("n_features", 1)


def check_one_hot(fitted: Fitted) -> None:
    """Hold the columns of one-hot codes to the categories they stand for."""
    if not fitted.has("categories_", "_n_features_outs"):
        return
    categories = fitted.state.get("categories_")
    fitted.demand(
        type(categories) is list and len(categories) == fitted.columns(),
        "categories_", "does not hold one entry for each column",
    )  # fmt: skip
    ends = [_codes(fitted, index, known) for index, known in enumerate(categories or [])]
    dropped = fitted.state.get("_drop_idx_after_grouping")
    if dropped is not None:
        chosen = fitted.array("_drop_idx_after_grouping", "Oi", len(ends)).tolist()
        for index, code in enumerate(chosen):
            fitted.demand(
                code is None or (is_whole(code) and 0 <= code < ends[index]),
                "_drop_idx_after_grouping", "drops a category that is not there",
            )  # fmt: skip
            ends[index] -= code is not None
    outs = fitted.state.get("_n_features_outs")
    fitted.demand(
        type(outs) is list and all(map(is_whole, outs)) and outs == ends,
        "_n_features_outs", "does not fit categories_",
    )  # fmt: skip


def _codes(fitted: Fitted, index: int, known: Any) -> int:
    """Return how many codes one column has, after rare categories were put together."""
    fitted.demand(
        type(known) is np.ndarray and known.ndim == 1 and _is_sorted(known),
        "categories_", "is not an ordered list of categories",
    )  # fmt: skip
    if fitted.state.get("_infrequent_enabled") in (None, False):
        return len(known)
    rare = _entry(fitted, "_infrequent_indices", index)
    mapping = _entry(fitted, "_default_to_infrequent_mappings", index)
    fitted.demand(
        (rare is None) == (mapping is None), "_infrequent_indices", "does not fit its mapping"
    )
    if mapping is None:
        return len(known)
    fitted.demand(rare.size and within(rare, len(known)), "_infrequent_indices", "points outside")
    fitted.demand(
        mapping.size == len(known) and within(mapping, len(known)),
        "_default_to_infrequent_mappings", "does not fit categories_",
    )  # fmt: skip
    return int(mapping.max()) + 1


def _entry(fitted: Fitted, name: str, index: int) -> Any:
    entries = fitted.state.get(name)
    fitted.demand(type(entries) is list and len(entries) > index, name, "is too short")
    value = entries[index] if entries else None
    numbers = type(value) is np.ndarray and value.dtype.kind in "iu" and value.ndim == 1
    fitted.demand(value is None or numbers, name, "holds something else than numbers")
    return value


def _is_sorted(known: Any) -> bool:
    # Texts and objects are looked up in a dictionary; everything else by bisection, which in a
    # list without order may end behind it. Complex numbers have no order to be held to.
    if known.dtype.kind not in "fiub":
        return known.dtype.kind in "OUS"
    values = known.tolist()
    if values and values[-1] != values[-1]:
        values.pop()  # a missing value comes last
    return all(low < high for low, high in pairwise(values))
