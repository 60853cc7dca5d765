"""Every object inside a loaded estimator, however it is kept.

Not recursive, because a pickle may nest as deep as it likes; safe for objects that contain
themselves; bounded, because a few bytes can refer to one large list a million times.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters import kinds as boosters

STEP_LIMIT = 100_000_000
SCALARS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, slice, range}
    | {scalar for scalar in np.sctypeDict.values() if scalar is not np.void}
)
MAPPINGS: frozenset[type] = frozenset({dict, OrderedDict, defaultdict, Bunch})
# Attributes whose dict is given to a function as its arguments. Not any dict: a vocabulary may
# well hold the same words.
ARGUMENTS = ("_kwargs", "_params", "kw_args")
CONTAINERS: frozenset[type] = MAPPINGS | {list, tuple, set, frozenset, deque}
_WITHOUT_STATE = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)


def edges(
    root: Any, enter: Callable[[Any, str, Any], bool] = lambda *_: True
) -> Iterator[tuple[Any, str, Any]]:
    """Return each value that is no plain scalar, as (owner, attribute, value).

    The owner is the object whose attribute holds the value, directly or inside lists, dicts,
    tuples, sets and object arrays; None for the root. A value comes once for each place that
    holds it; ``enter`` says whether its own attributes follow. Raises ModelRefused("format").
    """
    seen: set[Any] = set()
    steps = 0
    waiting = [(None, "", root)]
    while waiting:
        owner, attribute, value = waiting.pop()
        yield owner, attribute, value
        inside = items_of(value)
        # One list may be held by two owners, and be right for one of them only.
        location = id(value) if inside is None else (id(value), type(owner), attribute)
        if location in seen or not enter(owner, attribute, value):
            continue
        seen.add(location)
        if inside is not None:
            found = [(owner, attribute, item) for item in inside if type(item) not in SCALARS]
            steps += len(inside)
        else:
            state = attributes_of(value)
            found = [(value, key, held) for key, held in state.items() if type(held) not in SCALARS]
            steps += len(state)
        if steps > STEP_LIMIT:
            raise ModelRefused(
                "format",
                "the model refers to the same objects too many times to be checked",
                "seal a smaller model; if you did not make the file yourself, do not use it",
            )
        waiting.extend(found)


def items_of(value: Any) -> Any:
    """Return what a list, dict, set or object array holds; None for whatever is none."""
    kind = type(value)
    if kind in MAPPINGS:
        # A mapping's own method could be another class's; dict's is not.
        return dict.values(value)
    if kind in CONTAINERS:
        return value
    if kind is np.ndarray:
        return value.ravel().tolist() if value.dtype.hasobject else ()
    if kind is np.ma.MaskedArray:
        return items_of(np.ma.getdata(value))
    return None


def attributes_of(value: Any) -> dict[str, Any]:
    """Return an object's own attributes; none for code and for compiled objects."""
    # isinstance would ask the value itself; a booster's numbers lie in a library of its own.
    if issubclass(type(value), _WITHOUT_STATE) or boosters.name_of(type(value)):
        return {}
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def parts(estimator: Any) -> Iterable[BaseEstimator]:
    """Return every estimator inside an estimator, itself first, however it is kept."""
    seen: set[int] = set()
    for _, _, value in edges(estimator):
        if issubclass(type(value), BaseEstimator) and id(value) not in seen:
            seen.add(id(value))
            yield value
