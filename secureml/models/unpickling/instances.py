"""How objects of a pickle are called into being and given their state.

A name on the list is no licence. A short table says what may be called and with which exact
types; instances are made bare, of granted classes only, without their help; state is given by
the class's own ``__setstate__`` or put into the instance's dict, never through what the
instance itself says of it. What the operator added to the list may be called with plain data.
"""

from __future__ import annotations

import importlib
from abc import ABCMeta
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters import kinds as boosters
from secureml.models.unpickling import compiled_objects, plain_values, substitutes
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.graph_check import Grants
from secureml.models.unpickling.memory_budget import FIELD, RANDOM_GENERATOR, MemoryBudget, size_of
from secureml.models.unpickling.module_search import first_absent, how_to_find
from secureml.models.unpickling.numpy_values import ArrayOnDisk, Draft

_WRITE_AGAIN = "train and write the model again in this environment with joblib.dump"
_CALLS: dict[str, Callable[..., Any]] = {
    **plain_values.CALLS,
    **substitutes.CALLS,
    **compiled_objects.CALLS,
}
# Classes with insides of their own: a bare instance would hold memory that was never filled.
_NEVER_BARE = (tuple, np.ndarray, *compiled_objects.KINDS)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class written in Python
_COMMON_STATE = (BaseEstimator.__setstate__, Bunch.__setstate__)
_OWN_STATE: dict[str, Callable[[Any], None]] = {
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": (
        compiled_objects.check_boosted_tree
    ),
    "sklearn.isotonic.IsotonicRegression": compiled_objects.check_isotonic,
    "scipy.sparse._coo.coo_matrix": lambda state: None,
}


def _refuse(what: str) -> ModelRefused:
    return ModelRefused("globals", f"the model file {what}", _WRITE_AGAIN)


@dataclass
class Builder:
    """Makes what one file asks for, under the names it was granted."""

    allowed: Container[str]
    budget: MemoryBudget
    grants: Grants = field(default_factory=Grants)
    granted: dict[str, Any] = field(default_factory=dict)  # by the names the file wrote
    # Objects whose state is still to come: at most once, and by nobody else's means.
    unfinished: dict[int, Any] = field(default_factory=dict)
    loaded: set[int] = field(default_factory=set)  # boosters that have their state

    def grant(self, module: str, name: str) -> Any:
        """Return what an allowed name stands for; raises ModelRefused for any other."""
        full = f"{module}.{name}"
        # A dotted name would reach attributes of what is allowed: `Class.method.__globals__`.
        if "." in name or full not in self.allowed:
            raise ModelRefused(
                "globals",
                f"the model file asks for {full}, which is not allowed",
                "if you know and trust that name, add it to allow; otherwise do not use this file",
            )
        if full not in self.granted:
            thing = self.granted[full] = _resolve(module, name, full)
            # Under another name it is the same thing, and no more to be trusted.
            home = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
            shipped = substitutes.substitute(full) is not None or full in builtin_names()
            own = not shipped and home not in builtin_names()
            self.grants.add(thing, full, own=own)
        return self.granted[full]

    def call(self, function: Any, arguments: Any) -> Any:
        """Return what a granted function makes of its arguments; raises ModelRefused."""
        name = self.grants.name_of(function)
        if name is None or type(arguments) is not tuple:
            raise _refuse(f"calls a {type(function).__name__}")
        call = _CALLS.get(name) or compiled_objects.loss(name, function)
        if call is None:
            return self._call_own(name, function, arguments)
        self.budget.spend(RANDOM_GENERATOR if "random" in name else size_of(arguments))
        if name in plain_values.KEYED:
            plain_values.check_items(arguments, self.budget)
        made = call(*arguments)
        if isinstance(made, Draft) or compiled_objects.state_check(made) is not None:
            self.unfinished[id(made)] = made
        self.budget.spend(made.nbytes if type(made) is np.ndarray else 0)
        return made

    def _call_own(self, name: str, function: Any, arguments: Any) -> Any:
        if not self.grants.is_own(function):
            raise _refuse(f"calls {name}, which may only be named")
        # The operator trusts the function, not what else of the file it might be made to touch.
        if not plain_values.is_plain(arguments, self._is_own_part, self.budget):
            raise _refuse(f"calls {name} with more than plain data")
        made = function(*arguments)
        self.grants.keep_made(made)
        return made

    def _is_own_part(self, thing: Any) -> bool:
        if isinstance(thing, type):
            return self.grants.name_of(thing) is not None
        return self.grants.is_own(type(thing)) or id(thing) in self.grants.made

    def bare(self, kind: Any, arguments: Any, words: Any) -> Any:
        """Return an instance without attributes of exactly a granted class."""
        name = self.grants.name_of(kind)
        own = self.grants.is_own(kind)
        if name is None or not (type(kind) in (type, ABCMeta) or (own and isinstance(kind, type))):
            raise _refuse(f"makes an instance of a {type(kind).__name__}")
        if type(arguments) is not tuple or type(words) is not dict:
            raise _refuse(f"makes a {name} of something else than arguments")
        if own:
            if not plain_values.is_plain((arguments, words), self._is_own_part, self.budget):
                raise _refuse(f"makes a {name} of more than plain data")
            return kind.__new__(kind, *arguments, **words)
        if arguments or words:
            raise _refuse(f"makes a {name} with arguments")
        if kind is ArrayOnDisk:
            draft = ArrayOnDisk()
            self.unfinished[id(draft)] = draft
            return draft
        if not kind.__flags__ & _HEAP_TYPE or issubclass(kind, _NEVER_BARE):
            raise _refuse(f"makes a bare {name}")
        return kind.__new__(kind)

    def finish(self, draft: Draft, state: Any, read: Callable[[ArrayOnDisk], Any]) -> Any:
        """Return the array or dtype that a draft and its state make, once."""
        if self.unfinished.pop(id(draft), None) is None:
            raise _refuse("alters an array")
        made = draft.finish(state)
        if isinstance(draft, ArrayOnDisk):
            made = read(draft)
        draft.made = made
        self.budget.spend(made.nbytes if isinstance(made, np.ndarray) else 0)
        self.budget.spend(FIELD * len(made.names or ()) if isinstance(made, np.dtype) else 0)
        return made

    def give(self, target: Any, state: Any) -> None:
        """Give an instance its state by its type's own means; raises ModelRefused."""
        if isinstance(target, type) or self.grants.name_of(target) is not None:
            # State given to a class or function would change it for the whole process.
            raise _refuse(f"alters {target!r}")
        self.budget.spend(size_of([state]))  # looked at key by key, for each that is given it
        if type(target) is substitutes.LeftBehind:
            return  # nobody asks it anything: what it held is left behind, too
        check = compiled_objects.state_check(target)
        booster = boosters.name_of(type(target))
        if check is not None:
            self._give_compiled(target, state, check)
        elif booster is not None:
            self._give_booster(target, state, boosters.KINDS[booster])
        elif self.grants.is_own(type(target)) or id(target) in self.grants.made:
            self._give_own(target, state)
        else:
            self._give_shipped(target, state)

    def _give_compiled(self, target: Any, state: Any, check: Callable[[Any, Any], None]) -> None:
        # Once only: a second state would free memory that somebody may be looking at.
        if self.unfinished.pop(id(target), None) is None:
            raise _refuse(f"alters a {type(target).__name__}")
        self.grants.held.append(target)  # its id must stay its own while the file is read
        check(target, state)
        self.budget.spend(size_of(_held(state)))  # it copies the arrays of its state
        type(target).__setstate__(target, state)

    def _give_booster(self, target: Any, state: Any, kind: boosters.Booster) -> None:
        """Give a booster its state, by which its library reads the bytes in it.

        Only where a pickle is read, which is the confined child: nothing has looked at them.
        """
        if self.grants.name_of(type(target)) is None or id(target) in self.loaded:
            raise _refuse(f"alters a {type(target).__name__}")
        if type(state) is not dict or not plain_values.is_plain(
            state, lambda part: False, self.budget
        ):
            raise _refuse(f"gives a {type(target).__name__} more than plain data")
        self.loaded.add(id(target))
        self.grants.held.append(target)  # its id must stay its own while the file is read
        type(target).__setstate__(target, state)
        kind.ready(target)

    def _give_own(self, target: Any, state: Any) -> None:
        kind = type(target)
        setter = getattr(kind, "__setstate__", None)
        if setter is None or setter in _COMMON_STATE:
            state = plain_values.check_state(kind, state)
        _set(target, state, setter)

    def _give_shipped(self, target: Any, state: Any) -> None:
        kind = type(target)
        name = self.grants.name_of(kind)
        setter = getattr(kind, "__setstate__", None)
        check = _OWN_STATE.get(name or "")
        if name is None or not (setter is None or setter in _COMMON_STATE or check):
            raise _refuse(f"gives state to a {kind.__name__}")
        state = plain_values.check_state(kind, state)
        if check is not None:
            check(state)
        _set(target, state, setter)

    def check_complete(self) -> None:
        """Refuse a pickle that leaves something without the state it cannot do without."""
        for thing in self.unfinished.values():
            if isinstance(thing, (Draft, *compiled_objects.NEEDS_STATE)):
                raise ModelRefused(
                    "format", "the pickle leaves an object without its state", _WRITE_AGAIN
                )


def _held(state: Any) -> Iterable[Any]:
    if type(state) is tuple:
        return [part for value in state for part in (value, *_values(value))]
    return _values(state)


def _values(state: Any) -> Iterable[Any]:
    return state.values() if type(state) is dict else ()


def _resolve(module: str, name: str, full: str) -> Any:
    stand_in = substitutes.substitute(full)
    if stand_in is not None:
        return stand_in
    try:
        found = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - what an operator's module does is its own
        raise _not_imported(module, full, error) from None
    try:
        return getattr(found, name)
    except AttributeError:
        raise ModelRefused(
            "globals",
            f"the model file asks for {full}, and the module {module} here has no {name}",
            "install what the model was trained with, at the same version",
        ) from None


def _not_imported(module: str, full: str, error: Exception) -> ModelRefused:
    absent = first_absent(module)
    if absent:
        return ModelRefused(
            "globals",
            f"the model file asks for {full}, which cannot be loaded: Python finds no module "
            f"{absent} here",
            how_to_find([absent]),
        )
    return ModelRefused(
        "globals",
        f"the model file asks for {full}, and importing {module} raises {type(error).__name__} "
        f"({error})",
        f"see why `import {module}` fails in this environment; install what it needs",
    )


def _set(target: Any, state: Any, setter: Callable[[Any, Any], None] | None) -> None:
    if setter is not None:
        setter(target, state)
    else:
        object.__getattribute__(target, "__dict__").update(state)
