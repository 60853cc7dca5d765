"""What plain Python values a pickle may make, put into containers and use as keys."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.graph import MAPPINGS, SCALARS
from secureml.models.unpickling.memory_budget import ITEM, MemoryBudget

SEQUENCES: frozenset[type] = frozenset({list, deque})
# Of complex numbers, and of numbers beyond a machine word, as many as one likes have the same
# hash: a dict of them takes time in the square of their number.
_KEYS = SCALARS - {bytearray, slice, complex, np.complex64, np.complex128, np.clongdouble}
_LARGEST_KEY = 2**63
KEYED = frozenset({"builtins.set", "builtins.frozenset"})  # called after `check_items`
_DEEPEST_KEY = 16  # a tuple is hashed by recursion in C
_FACTORIES: tuple[type, ...] = (int, float, bool, str, list, dict, set, tuple, OrderedDict)


def refuse(what: str) -> ModelRefused:
    """Return the refusal of something no writer of models does with plain values."""
    return ModelRefused(
        "globals", f"the model file {what}", "write the model again with joblib.dump"
    )


def check_keys(keys: Iterable[Any], budget: MemoryBudget) -> None:
    """Refuse keys whose hash or comparison would run code of an object; raises ModelRefused.

    Or would take much longer than reading the file: what lies in tuples is counted each time,
    for a tuple may hold another a thousand times, and that a third, and hashing meets all.
    """
    for key in keys:
        if not _is_plain_key(key):
            _check_nested_key(key, budget)


def check_items(arguments: Any, budget: MemoryBudget) -> None:
    """Refuse what a set is to be made of, unless it is one list of keys; raises ModelRefused."""
    if len(arguments) > 1 or any(type(items) not in (list, tuple) for items in arguments):
        raise refuse("makes a set of something else than a list")
    for items in arguments:
        check_keys(items, budget)


def _is_plain_key(key: Any) -> bool:
    kind = type(key)
    return kind in _KEYS and (kind is not int or -_LARGEST_KEY <= key < _LARGEST_KEY)


def _check_nested_key(key: Any, budget: MemoryBudget) -> None:
    waiting, depth = [key], 0
    while waiting:
        depth += 1
        if depth > _DEEPEST_KEY:
            raise refuse("uses a key of too many nested tuples")
        inner: list[Any] = []
        for item in waiting:
            if type(item) in (tuple, frozenset):
                budget.spend(ITEM * len(item))
                inner.extend(item)
            elif not _is_plain_key(item):
                raise refuse(f"uses a {type(item).__name__} as a key")
        waiting = inner


def check_mapping(mapping: Any, keys: Iterable[Any], budget: MemoryBudget) -> None:
    """Refuse to put items into anything but a dict, or under keys that could run code."""
    if type(mapping) not in MAPPINGS:
        raise refuse(f"puts items into a {type(mapping).__name__}")
    check_keys(keys, budget)
    if type(mapping) is Bunch:
        for key in keys:
            if type(key) is not str or is_dunder(key):
                raise refuse(f"puts {str(key)[:60]!r} into a Bunch")


def is_dunder(name: str) -> bool:
    """Return whether Python or NumPy itself looks for an attribute of this name."""
    return name.startswith("__") and name.endswith("__")


def check_state(kind: type, state: Any) -> dict[str, Any]:
    """Return the state of an instance of a Python class; raises ModelRefused.

    No name that Python itself looks up, and none that hides a method or property of the class.
    """
    if type(state) is not dict:
        raise refuse(f"gives a {kind.__name__} state that is not a dict")
    for key in state:
        if type(key) is not str or is_dunder(key):
            raise refuse(f"gives a {kind.__name__} the attribute {str(key)[:60]!r}")
        if _is_hidden_by(kind, key):
            raise refuse(f"hides the method or property {key[:60]!r} of {kind.__name__}")
    if type(state.get("_sklearn_version", "")) is not str:
        raise refuse(f"gives a {kind.__name__} a version that is not text")
    return {sys.intern(key): value for key, value in state.items()}


def _is_hidden_by(kind: type, key: str) -> bool:
    for base in kind.__mro__:
        if key in base.__dict__:
            found = base.__dict__[key]
            return callable(found) or hasattr(type(found), "__get__")
    return False


# --- Constructors of plain values -------------------------------------------------------------


def _of_numbers(kind: type, *types: type) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        if len(arguments) > 3 or any(type(value) not in types for value in arguments):
            raise refuse(f"makes a {kind.__name__} of something else than plain values")
        return kind(*arguments)

    return make


def _bytearray(*arguments: Any) -> bytearray:
    if len(arguments) > 1 or any(type(value) is not bytes for value in arguments):
        raise refuse("makes a bytearray of something else than bytes")
    return bytearray(*arguments)


def _ordered(*arguments: Any) -> OrderedDict[Any, Any]:
    if arguments:
        raise refuse("makes an OrderedDict with contents")
    return OrderedDict()


def _default(*arguments: Any) -> defaultdict[Any, Any]:
    factory = arguments[0] if len(arguments) == 1 else None
    if len(arguments) > 1 or not (factory is None or any(factory is kind for kind in _FACTORIES)):
        raise refuse("makes a defaultdict that calls something")
    return defaultdict(factory)


CALLS: dict[str, Callable[..., Any]] = {
    "builtins.bytearray": _bytearray,
    "builtins.complex": _of_numbers(complex, float),
    "builtins.frozenset": frozenset,
    "builtins.range": _of_numbers(range, int),
    "builtins.set": set,
    "builtins.slice": _of_numbers(slice, int, type(None), str, np.int64),
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
}


def is_plain(value: Any, accepts: Callable[[Any], bool], budget: MemoryBudget) -> bool:
    """Return whether a value is data all the way down, save for what ``accepts`` takes."""
    waiting, seen = [value], set()
    while waiting:
        found = waiting.pop()
        budget.spend(ITEM)
        kind = type(found)
        if kind in SCALARS or isinstance(found, np.dtype) or accepts(found) or id(found) in seen:
            continue
        seen.add(id(found))
        if kind in (list, tuple, set, frozenset):
            waiting.extend(found)
        elif kind in MAPPINGS:
            waiting.extend(dict.values(found))
        elif kind is np.ndarray:
            waiting.extend(found.ravel().tolist() if found.dtype.hasobject else ())
        else:
            return False
    return True
