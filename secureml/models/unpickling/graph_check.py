"""What may stand where inside a loaded estimator: checked before anything of it is called.

``predict`` calls what the estimator holds: a scorer's function, a kernel, a method whose name
is kept as text. A file could put any granted function at any of these places. So each place
where scikit-learn keeps a callable is listed (``callable_attributes``), and what stands elsewhere
is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import interp1d
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.callable_attributes import (
    ancestors,
    keeps_callable,
    wrong_method_name,
)
from secureml.models.unpickling.compiled_objects import KINDS
from secureml.models.unpickling.consistency import check_consistency
from secureml.models.unpickling.function_values import is_boosting_check
from secureml.models.unpickling.graph import ARGUMENTS, CONTAINERS, MAPPINGS, attributes_of, edges
from secureml.models.unpickling.sparse_matrices import check_each_sparse_matrix, check_sparse

_OF_NUMPY = ("out", "where")


@dataclass
class Grants:
    """What a pickle was given by name: exact objects, and which of them the operator added."""

    names: dict[int, str] = field(default_factory=dict)  # by id; `held` keeps the ids valid
    own: set[int] = field(default_factory=set)
    held: list[Any] = field(default_factory=list)
    made: set[int] = field(default_factory=set)  # what the operator's own functions returned

    def add(self, thing: Any, name: str, *, own: bool) -> None:
        """Grant one class or function."""
        self.names.setdefault(id(thing), name)
        self.held.append(thing)
        if own:
            self.own.add(id(thing))

    def name_of(self, thing: Any) -> str | None:
        """Return the name under which this very object was granted."""
        return self.names.get(id(thing))

    def is_own(self, thing: Any) -> bool:
        """Return whether the operator added this very object to the list."""
        return id(thing) in self.own

    def keep_made(self, thing: Any) -> None:
        """Remember what a function that the operator trusts has returned."""
        self.made.add(id(thing))
        self.held.append(thing)


def check_graph(root: Any, grants: Grants) -> None:
    """Refuse an object that holds a callable, or names a method, where scikit-learn does not.

    Calls nothing of the objects themselves. Raises ModelRefused("globals" or "format").
    """
    enter = _Enter(grants)
    for owner, attribute, value in edges(root, enter):
        _check_value(owner, attribute, value, grants)
    # What it will build while it answers stands nowhere yet.
    check_each_sparse_matrix()


@dataclass
class _Enter:
    """Whether an object's attributes came from the file, and so must be looked at."""

    grants: Grants

    def __call__(self, owner: Any, attribute: str, value: Any) -> bool:
        kind = type(value)
        if kind in CONTAINERS or kind in (np.ndarray, np.ma.MaskedArray):
            return True
        return self.grants.name_of(kind) is not None and self.grants.name_of(value) is None


def _check_value(owner: Any, attribute: str, value: Any, grants: Grants) -> None:
    kind = type(value)
    if kind is Bunch and attribute != "named_estimators_" and not grants.is_own(type(owner)):
        # It answers to any attribute with what lies in it: a way to pose as something else.
        raise _misplaced(owner, attribute, kind.__name__)
    if kind in CONTAINERS or kind in (np.ndarray, np.ma.MaskedArray):
        return
    name = grants.name_of(value)
    if name is not None:
        _check_callable(owner, attribute, name, value, grants)
    elif grants.name_of(kind) is not None:
        _check_object(owner, attribute, value, grants)
    elif not _is_leaf(owner, attribute, value, grants):
        raise _misplaced(owner, attribute, kind.__name__)


def _is_leaf(owner: Any, attribute: str, value: Any, grants: Grants) -> bool:
    """Return whether an object was made by trusted code, out of checked state."""
    if isinstance(value, (np.dtype, *KINDS)) or id(value) in grants.made:
        return True
    if "sklearn.isotonic.IsotonicRegression" in ancestors(type(owner)) and attribute == "f_":
        # Rebuilt by its class from two arrays; for a single point it is a function.
        return type(value) is interp1d or getattr(value, "__module__", "") == "sklearn.isotonic"
    if type(owner) is FunctionTransformer and attribute == "func" and is_boosting_check(value):
        return True
    return grants.is_own(type(owner))


def _check_callable(owner: Any, attribute: str, name: str, value: Any, grants: Grants) -> None:
    if grants.is_own(value) or (owner is not None and grants.is_own(type(owner))):
        return
    if not keeps_callable(owner, attribute, name, value):
        raise _misplaced(owner, attribute, name)


def _check_object(owner: Any, attribute: str, value: Any, grants: Grants) -> None:
    own = grants.is_own(type(value))
    # Whether an instance can be called is said by its type: the file cannot change that.
    if callable(value) and not own and not (owner is not None and grants.is_own(type(owner))):
        name = str(grants.name_of(type(value)))
        if not keeps_callable(owner, attribute, name, value):
            raise _misplaced(owner, attribute, name)
    if issparse(value):
        check_sparse(value)
    check_consistency(value)
    for key, held in attributes_of(value).items():
        _check_arguments(value, key, held)
        wrong = wrong_method_name(value, key, held)
        if wrong is not None:
            raise _misplaced(value, key, f"the method name {wrong!r}")
    if type(value) is FrozenEstimator and not isinstance(
        attributes_of(value).get("estimator"), BaseEstimator
    ):
        raise _misplaced(value, "estimator", "something that is not an estimator")


def _check_arguments(owner: Any, attribute: str, held: Any) -> None:
    """Refuse arguments by which NumPy and SciPy write into an array, or leave some of it out.

    The array may be one that was checked before, and that compiled code trusts since; and what
    is left out of an answer is memory as it was found.
    """
    if type(held) not in MAPPINGS or not attribute.rstrip("_").endswith(ARGUMENTS):
        return
    for argument in _OF_NUMPY:
        if dict.__contains__(held, argument):
            raise ModelRefused(
                "globals",
                f"the model file gives the argument {argument!r} in {type(owner).__name__}."
                f"{attribute}: the function could write into arrays of the model",
                "train the model without this argument and write it again with joblib.dump",
            )


def _misplaced(owner: Any, attribute: str, what: str) -> ModelRefused:
    location = (
        f"{type(owner).__name__}.{attribute}" if owner is not None else "the place of the model"
    )
    return ModelRefused(
        "globals",
        f"the model file holds {what} at {location}, where scikit-learn keeps no such thing",
        "write the model again with joblib.dump; for a class or function of your own, add its "
        "exact name to allow",
    )
