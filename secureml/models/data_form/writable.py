"""Estimators whose compiled code demands arrays it may write into, though it never does.

Found by asking every estimator of scikit-learn 1.9.1 over read-only arrays alone: libsvm's
probabilities, and the kernels that a table is compared by.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from secureml.models.unpickling.callable_attributes import ancestors

_FAMILIES = frozenset(
    {
        "sklearn.decomposition._kernel_pca.KernelPCA",
        "sklearn.kernel_approximation.Nystroem",
        "sklearn.kernel_ridge.KernelRidge",
        "sklearn.semi_supervised._label_propagation.BaseLabelPropagation",
        "sklearn.svm._base.BaseLibSVM",
    }
)


def with_writable(kind: type, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an instance, its read-only arrays copied where its code demands it."""
    if _FAMILIES.isdisjoint(ancestors(kind)):
        return state
    return {name: _writable(value) for name, value in state.items()}


def _writable(value: Any) -> Any:
    if type(value) is np.ndarray and not value.flags.writeable:
        return value.copy(order="K")
    return value
