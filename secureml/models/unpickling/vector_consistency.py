"""Support vector machines, held to what libsvm is handed."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from scipy.sparse import issparse
from sklearn.gaussian_process.kernels import Kernel
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

from secureml.models.unpickling.fitted_numbers import Fitted, is_whole, within
from secureml.models.unpickling.graph import attributes_of

_SVM_KERNELS = frozenset({"linear", "poly", "rbf", "sigmoid", "precomputed"})
# Of these, BaseLibSVM finds out which compiled code to call: a file may not speak for the class.
_OF_THE_CLASS = ("_impl", "_sparse_kernels")


def check_classes(fitted: Fitted) -> None:
    """Hold a classifier to having classes: without them its vectors are counted as one answer's."""
    if fitted.has("_n_support"):
        fitted.demand(fitted.has("classes_"), "classes_", "is missing")


def check_vectors(fitted: Fitted) -> None:
    """Hold all that libsvm is handed to the number of support vectors and classes."""
    for name in _OF_THE_CLASS:
        fitted.demand(not fitted.has(name), name, "is set, which belongs to the class")
    if not fitted.has("_n_support", "_dual_coef_", "support_vectors_"):
        return
    sparse: Any = fitted.state.get("_sparse")
    fitted.demand(type(sparse) is bool, "_sparse", "is neither true nor false")
    counts = fitted.array("_n_support", "i", None)
    classes, many = len(counts), "classes_" in fitted.state
    if many:
        known = fitted.array("classes_", "biufOUS", None)
        fitted.demand(len(known) == classes >= 2, "_n_support", "does not fit classes_")
    else:
        fitted.demand(classes == 2, "_n_support", "does not hold two numbers")
    total = len(fitted.array("support_", "i", None))
    # Without classes scikit-learn leaves the two numbers of a sparse model as it found them in
    # memory, and libsvm does not read them; a classifier has classes (`check_classes`).
    if many or not sparse:
        fitted.demand(within(counts, total + 1), "_n_support", "counts more vectors than there are")
        counted = int(counts.sum(dtype="i8")) if many else int(counts[0])
        fitted.demand(counted == total, "_n_support", "does not add up to support_")
    pairs = classes * (classes - 1) // 2
    fitted.array("_intercept_", "f", pairs)
    for name in ("_probA", "_probB"):
        found = fitted.array(name, "f", None)
        fitted.demand(len(found) in (0, pairs), name, "does not fit the number of classes")
    _check_vector_space(fitted, total, classes - 1, sparse=sparse)


def _check_vector_space(fitted: Fitted, total: int, rows: int, *, sparse: bool) -> None:
    indexed = _check_svm_kernel(fitted, sparse=sparse)
    if sparse:
        _csr(fitted, "support_vectors_", total, fitted.columns())
        # libsvm reads the stored numbers as a full table.
        weights = _csr(fitted, "_dual_coef_", rows, total) if total else None
        stored = rows * total if weights is None else attributes_of(weights)["data"].size
        fitted.demand(stored == rows * total, "_dual_coef_", "leaves out some numbers")
        return
    fitted.array("_dual_coef_", "f", rows, total)
    if not indexed:
        fitted.array("support_vectors_", "f", total, fitted.columns())
        return
    vectors = fitted.array("support_vectors_", "f", None, None)
    fitted.demand(not vectors.size, "support_vectors_", "holds vectors beside a precomputed kernel")
    _check_kernel_columns(fitted)


def _check_svm_kernel(fitted: Fitted, *, sparse: bool) -> bool:
    """Return whether ``support_`` is used as places in a row of kernel values."""
    kernel = fitted.state.get("kernel")
    named = type(kernel) is str
    known = kernel in _SVM_KERNELS if named else _is_kernel_function(kernel)
    fitted.demand(known, "kernel", "is not a kernel")
    indexed = kernel == "precomputed" or not named
    fitted.demand(not (sparse and indexed), "kernel", "does not go with sparse vectors")
    return indexed


def _is_kernel_function(kernel: Any) -> bool:
    if isinstance(kernel, Kernel) or kernel in PAIRWISE_KERNEL_FUNCTIONS.values():
        return True
    # Beside scikit-learn's, only what the operator added to the list may stand here.
    home = kernel if type(kernel) is FunctionType else type(kernel)
    return callable(kernel) and not str(home.__module__).startswith("sklearn.")


def _check_kernel_columns(fitted: Fitted) -> None:
    shape: Any = fitted.state.get("shape_fit_")
    fitted.demand(
        type(shape) is tuple and len(shape) == 2 and all(map(is_whole, shape)),
        "shape_fit_", "is not a shape",
    )  # fmt: skip
    width = int(shape[0]) if shape else 0
    if type(fitted.state.get("kernel")) is not str:
        learned = getattr(fitted.state.get("_BaseLibSVM__Xfit"), "shape", (None,))
        fitted.demand(learned[:1] == (width,), "shape_fit_", "does not fit the rows learned")
    else:
        fitted.demand(width == fitted.columns(), "shape_fit_", "does not fit n_features_in_")
    fitted.demand(
        within(fitted.state["support_"], width), "support_", "points outside the rows learned"
    )


def _csr(fitted: Fitted, name: str, rows: int, columns: int) -> Any:
    value = fitted.state.get(name)
    fitted.demand(
        issparse(value) and type(value).__name__ in ("csr_matrix", "csr_array"),
        name, "is not a CSR matrix",
    )  # fmt: skip
    fitted.demand(
        attributes_of(value).get("_shape") == (rows, columns), name, "does not fit the model"
    )
    return value
