"""Sparse matrices of a model file, held to their shape.

SciPy multiplies, slices and unfolds them by the places they keep, without bounds. Those of a
file are checked when it is read; those that scikit-learn builds while it answers, out of what
the parts of a model answered, when they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from secureml.models.unpickling.compiled_objects import refuse
from secureml.models.unpickling.fitted_numbers import is_whole, within


def _demand(right: Any, what: str) -> None:
    if not right:
        raise refuse(what)


def _is_array(value: Any, kind: str, dimensions: int) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in kind and value.ndim == dimensions


def _is_length(value: Any) -> bool:
    return is_whole(value) and int(value) >= 0


def check_sparse(matrix: Any) -> None:
    """Hold a CSR, CSC or COO matrix to its shape; raises ModelRefused."""
    state, what = vars(matrix), "a sparse matrix"
    # Its class says how it is laid out; its own word for that would hide what is not checked.
    _demand(state.keys().isdisjoint({"_format", "format", "shape", "ndim"}), what)
    shape, data = state.get("_shape"), state.get("data")
    _demand(type(shape) is tuple and 1 <= len(shape) <= 2 and all(map(_is_length, shape)), what)
    _demand(_is_array(data, "fiub", 1), what)
    if matrix.format == "coo":
        indices = state.get("coords")
        _demand(type(indices) is tuple and len(indices) == len(shape), what)
        for axis, length in zip(indices, shape, strict=True):
            _demand(_is_array(axis, "i", 1) and axis.shape == data.shape, what)
            _demand(within(axis, length), what)
        return
    major, minor = (shape[-1], shape[0]) if matrix.format == "csc" else (shape[0], shape[-1])
    major = 1 if len(shape) == 1 else major
    starts, indices = state.get("indptr"), state.get("indices")
    _demand(_is_array(starts, "i", 1) and _is_array(indices, "i", 1), what)
    _demand(starts.shape == (major + 1,) and indices.shape == data.shape, what)
    _demand(starts[0] == 0 and starts[-1] == len(indices) and (np.diff(starts) >= 0).all(), what)
    _demand(within(indices, minor), what)


def check_each_sparse_matrix() -> None:
    """Have SciPy hold every CSR and CSC matrix of this process to its shape as it is made.

    SciPy itself looks at lengths only. A model may build one out of what its members answer:
    ``OneVsRestClassifier`` takes the rows of those answers as places, and a member may answer
    with more rows than it was asked for. No check of a file can know that beforehand.
    Raises ValueError where such a matrix is made.
    """
    for kind in (csr_matrix, csc_matrix):
        # The class that csr_matrix, csr_array and their like inherit the check from.
        keeper = next(base for base in kind.__mro__ if "check_format" in vars(base))
        if not getattr(keeper.check_format, "is_whole", False):
            keeper.check_format = _whole_check(keeper.check_format)


def _whole_check(check: Callable[..., None]) -> Callable[..., None]:
    @wraps(check)
    def check_whole(matrix: Any, full_check: bool = True) -> None:
        del full_check
        check(matrix, full_check=True)
        # SciPy leaves this out where the last row ends at nothing.
        if (np.diff(matrix.indptr) < 0).any():
            raise ValueError("indptr must be a non-decreasing sequence")

    check_whole.is_whole = True  # type: ignore[attr-defined]
    return check_whole
