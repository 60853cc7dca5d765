"""A fitted estimator written as data: its graph as a table of nodes, arrays beside it as bytes.

The writer runs where the model file was read, in a process that is trusted with nothing, so
the reader checks all of it again. It asks objects for their state and calls no method of theirs
but ``__getstate__``, and ``__reduce__`` of compiled ones.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from secureml.models.boosters import kinds as boosters
from secureml.models.data_form import arrays, compiled, dtypes, plain_nodes
from secureml.models.data_form.advice import advice
from secureml.models.data_form.frame import Writable, write_frame
from secureml.models.data_form.items import is_inline, written
from secureml.models.data_form.left_behind import kept
from secureml.models.data_form.names import listed_name
from secureml.models.data_form.nodes import names_requested
from secureml.models.data_form.refusals import NotDescribable
from secureml.models.unpickling.function_values import is_boosting_check

_CYCLE = "train the model again without it; a data form holds no object that leads to itself"


def write(estimator: Any, file: Writable, *, allowed: Container[str]) -> frozenset[str]:
    """Write an estimator, and return the listed names that its data form asks for.

    ``allowed`` are the exact names of types and functions that the reader will allow. Nothing is
    written when NotDescribable is raised, which says where in the model what stands.
    """
    table = Table(allowed)
    try:
        table.item(estimator, "")
    except RecursionError:
        raise table.refusal("objects inside objects, too many of them", _CYCLE) from None
    if not table.nodes:
        raise NotDescribable("the model", f"a {type(estimator).__name__}", "give an estimator")
    write_frame(table.nodes, table.blocks, file)
    return names_requested(table.nodes)


class Table:
    """The nodes and blocks written so far."""

    def __init__(self, allowed: Container[str]) -> None:
        self.allowed = allowed
        self.nodes: list[Any] = []
        self.blocks: list[memoryview] = []
        self._indices: dict[int, int] = {}  # of nodes, by the id of the object
        self._held: list[Any] = []  # ids stay those of these objects
        self._path: list[str] = []
        self._open: set[int] = set()

    def item(self, value: Any, step: str) -> Any:
        """Return a value as an item, its node written before; ``step`` leads to it."""
        if is_inline(value):
            return written(value)
        known = self._indices.get(id(value))
        if known is not None:
            return known
        self._path.append(step)
        if id(value) in self._open:
            raise self.refusal(f"the {type(value).__name__} that it stands in", _CYCLE)
        self._open.add(id(value))
        node = self._node(value)
        self._open.remove(id(value))
        self._path.pop()
        self.nodes.append(node)
        self._held.append(value)
        index = self._indices[id(value)] = len(self.nodes) - 1
        return index

    def block(self, raw: memoryview) -> int:
        """Return the index of a new block."""
        self.blocks.append(raw)
        return len(self.blocks) - 1

    def refusal(self, what: str, way_out: str) -> NotDescribable:
        """Return the refusal of what stands at the place that is being written."""
        path = "".join(self._path).removeprefix(".")
        return NotDescribable(path or "the model", what, way_out)

    def _node(self, value: Any) -> list[Any]:
        plain = plain_nodes.WRITERS.get(type(value))
        if plain is not None:
            return plain(self, value)
        if isinstance(value, np.dtype):
            return ["dtype", self.described(value)]
        if isinstance(value, np.generic):
            return self._scalar(value)
        return self._object(value)

    def _object(self, value: Any) -> list[Any]:
        if is_boosting_check(value):
            return ["check"]
        if isinstance(value, _NAMED):
            return self._named(value)
        booster = boosters.name_of(type(value))
        if booster is not None:
            return self._booster(booster, value)
        name = compiled.name_of(value)
        return self._instance(value) if name is None else self._compiled(name, value)

    def described(self, dtype: np.dtype[Any]) -> Any:
        """Return a dtype as JSON has it; raises NotDescribable."""
        try:
            return dtypes.described(dtype)
        except ValueError as error:
            raise self.refusal(str(error), "use numbers, text or objects instead") from None

    def array(self, value: Any) -> list[Any]:
        """Return the node of an array."""
        if value.dtype == np.dtype("O"):
            items, shape, order = arrays.in_order(value)
            return ["objects", shape, order, self.items(items)]
        self.described(value.dtype)
        given, shape, order, raw = arrays.described(value)
        return ["array", given, shape, order, self.block(raw)]

    def items(self, values: list[Any]) -> list[Any]:
        """Return values as items, each with its place in a row."""
        return [self.item(value, f"[{place}]") for place, value in enumerate(values)]

    def _scalar(self, value: Any) -> list[Any]:
        given = self.described(value.dtype)
        if type(given) is not str or value.dtype.hasobject or not value.dtype.itemsize:
            raise self.refusal(f"a {type(value).__name__}", "use a plain number or an array")
        _, _, _, raw = arrays.described(np.array([value]))
        return ["scalar", given, raw.hex()]

    def _named(self, value: Any) -> list[Any]:
        name = listed_name(value, self.allowed)
        if name is None:
            raise self.refusal(*advice(value))
        return ["type" if isinstance(value, type) else "function", name]

    def _compiled(self, name: str, value: Any) -> list[Any]:
        if name not in compiled.COMPILED and name not in self.allowed:
            raise self.refusal(*advice(value))
        arguments, state = compiled.description(value)
        given = [self.item(argument, "") for argument in arguments]
        return ["compiled", name, given, self.item(state, "")]

    def _booster(self, name: str, value: Any) -> list[Any]:
        if listed_name(type(value), self.allowed) is None:
            raise self.refusal(*advice(value))
        kind = boosters.KINDS[name]
        content, state = kind.content_of(value), dict(kind.state_of(value))
        return ["booster", name, self.block(memoryview(content)), self.item(state, "")]

    def _instance(self, value: Any) -> list[Any]:
        kind: Any = type(value)
        name = listed_name(kind, self.allowed)
        if name is None or not _has_plain_state(kind):
            raise self.refusal(*advice(value))
        state = kind.__getstate__(value)
        state = {} if state is None else state
        if type(state) is not dict or any(type(key) is not str for key in state):
            raise self.refusal(
                f"a {kind.__name__} whose state is not a dictionary of its attributes",
                "keep its state in plain attributes, without __slots__ and __getstate__",
            )
        members = kept(value, state).items()
        return ["instance", name, {key: self.item(held, f".{key}") for key, held in members}]


# Found by their name: types, functions of Python and of C, ufuncs and what NumPy dispatches.
_NAMED: tuple[type, ...] = (type, FunctionType, BuiltinFunctionType, np.ufunc, type(np.mean))
_BUILT_IN = (
    dict,
    list,
    tuple,
    set,
    frozenset,
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    np.ndarray,
)
_REDUCERS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("__reduce__", object.__reduce__),
    ("__reduce_ex__", object.__reduce_ex__),
)


def _has_plain_state(kind: type) -> bool:
    """Return whether the attributes of an instance are all that it holds."""
    if issubclass(kind, _BUILT_IN):
        return False
    return all(getattr(kind, name) is plain for name, plain in _REDUCERS)
