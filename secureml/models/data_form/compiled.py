"""Compiled objects as data: what their constructor is given, and the state that follows.

They believe the numbers they are given, so each is made by the checks of
``unpickling.compiled_objects``, which take exact arguments and hold the state to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.random import MT19937, PCG64, Generator, RandomState
from numpy.random.bit_generator import BitGenerator, SeedSequence
from sklearn._loss._loss import CyHalfMultinomialLoss
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree._tree import Tree

from secureml.models.unpickling import compiled_objects, memory_budget
from secureml.models.unpickling.compiled_objects import CALLS

# By the names of their types; distances and losses are on the list of names instead.
COMPILED: dict[str, type] = {
    "numpy.random._generator.Generator": Generator,
    "numpy.random._mt19937.MT19937": MT19937,
    "numpy.random._pcg64.PCG64": PCG64,
    "numpy.random.bit_generator.SeedSequence": SeedSequence,
    "numpy.random.mtrand.RandomState": RandomState,
    "sklearn.neighbors._ball_tree.BallTree": BallTree,
    "sklearn.neighbors._kd_tree.KDTree": KDTree,
    "sklearn.tree._tree.Tree": Tree,
}
_NAMES = {kind: name for name, kind in COMPILED.items()}
_TAKE_ARGUMENTS = (Tree, Generator, RandomState)


def name_of(value: Any) -> str | None:
    """Return the name of a compiled object's type; None for anything else."""
    kind = type(value)
    if kind in _NAMES:
        return _NAMES[kind]
    name = f"{kind.__module__}.{kind.__qualname__}"
    if issubclass(kind, DistanceMetric) or compiled_objects.loss(name, kind) is not None:
        return name
    return None


def description(value: Any) -> tuple[list[Any], Any]:
    """Return the arguments and the state of a compiled object, as its own type tells them."""
    kind = type(value)
    function, arguments, *rest = value.__reduce__()
    state = rest[0] if rest else None
    if kind is SeedSequence and state is None:
        state = arguments[2]  # told among the arguments of a function of Cython's
    if kind in _TAKE_ARGUMENTS or function is kind:
        return list(arguments), state
    return [], state


def make(name: str, kind: Any, arguments: list[Any], state: Any) -> Any:
    """Return a compiled object; raises ModelRefused unless all of it fits."""
    made = _maker(name, kind)(*arguments)
    check = compiled_objects.state_check(made)
    if state is not None:
        if check is None:
            raise compiled_objects.refuse(f"a {name} with state")
        check(made, state)
        type(made).__setstate__(made, state)
    elif check is not None and not isinstance(made, RandomState):
        raise compiled_objects.refuse(f"a {name} without state")
    return made


def _maker(name: str, kind: Any) -> Callable[..., Any]:
    fixed = _fixed_arguments(kind)
    if fixed is not None:
        call, given = fixed

        def make_fixed(*arguments: Any) -> Any:
            if arguments:
                raise compiled_objects.refuse(f"a {name} with arguments")
            return CALLS[call](*given)

        return make_fixed
    loss = compiled_objects.loss(name, kind)
    call = _BY_ARGUMENTS.get(kind, "")
    if loss is None and not call:
        raise compiled_objects.refuse(f"a {name} as a compiled object")
    return loss or CALLS[call]


_BY_ARGUMENTS: dict[Any, str] = {
    Tree: "sklearn.tree._tree.Tree",
    Generator: "numpy.random._pickle.__generator_ctor",
    RandomState: "numpy.random._pickle.__randomstate_ctor",
}


def _fixed_arguments(kind: Any) -> tuple[str, tuple[Any, ...]] | None:
    if kind is CyHalfMultinomialLoss:
        return "sklearn._loss._loss.__pyx_unpickle_CyHalfMultinomialLoss", (kind, 0, ())
    if kind is SeedSequence:
        return "numpy.random.bit_generator.__pyx_unpickle_SeedSequence", (kind, 0, None)
    if kind is KDTree or kind is BallTree:
        return "sklearn.neighbors._kd_tree.newObj", (kind,)
    if isinstance(kind, type) and issubclass(kind, DistanceMetric):
        return "sklearn.metrics._dist_metrics.newObj", (kind,)
    if isinstance(kind, type) and issubclass(kind, BitGenerator):
        return "numpy.random._pickle.__bit_generator_ctor", (kind,)
    return None


def size_of(state: Any) -> int:
    """Return how many bytes the copies of a state may take that a compiled object makes."""
    if type(state) not in (tuple, dict):
        return 0
    return memory_budget.size_of(state.values() if type(state) is dict else state)
