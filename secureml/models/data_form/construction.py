"""Values made of checked nodes, one after the other; instances through ``unpickling.instances``.

The same rules hold as for a pickle: instances are bare, of exactly a listed class, and take
their state by their class's own means; compiled objects are made of exact arguments.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.utils import Bunch

from secureml.models.boosters import kinds as boosters
from secureml.models.data_form import arrays, compiled, dtypes
from secureml.models.data_form.items import is_reference
from secureml.models.data_form.writable import with_writable
from secureml.models.unpickling import plain_values
from secureml.models.unpickling.function_values import boosting_check
from secureml.models.unpickling.instances import Builder
from secureml.models.unpickling.memory_budget import RANDOM_GENERATOR
from secureml.models.unpickling.substitutes import substitute

_OF_BOOSTER = 8  # bytes that a library takes for each of its format
_NODE = 512  # bytes counted for each node: what the largest of small objects takes
_FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (int, float, bool, str, list, dict, set, tuple)
}


@dataclass
class Construction:
    """The values made so far, by the indices of their nodes."""

    blocks: Sequence[memoryview]
    builder: Builder
    view_from: int
    values: list[Any] = field(default_factory=list)

    def add(self, node: list[Any]) -> None:
        """Make the value of the next node; raises ModelRefused or ValueError."""
        self.builder.budget.spend(_NODE)
        self.values.append(_MAKERS[node[0]](self, *node[1:]))

    def item(self, item: Any) -> Any:
        """Return the value of an item."""
        if is_reference(item):
            return self.values[item]
        return item[0] if type(item) is list else item

    def items(self, items: list[Any]) -> list[Any]:
        """Return the values of items."""
        return [self.item(item) for item in items]

    def keys(self, items: list[Any]) -> list[Any]:
        """Return the values of items that are hashed; each must be plain."""
        found = self.items(items)
        plain_values.check_keys(found, self.builder.budget)
        return found

    def grant(self, name: str) -> Any:
        """Return what a listed name stands for."""
        if substitute(name) is not None:
            raise ValueError(f"{name} stands for nothing in a data form")
        module, _, attribute = name.rpartition(".")
        return self.builder.grant(module, attribute)


def _integer(_: Construction, digits: str) -> int:
    return int(digits, 16)


def _float(_: Construction, bits: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(bits))[0])


def _complex(making: Construction, real: str, imaginary: str) -> complex:
    return complex(_float(making, real), _float(making, imaginary))


def _bytes(making: Construction, block: int) -> bytes:
    return making.blocks[block].tobytes()


def _set(making: Construction, items: list[Any]) -> set[Any]:
    found = making.keys(items)
    made = set(found)
    _check_each_once(made, found)
    return made


def _check_each_once(made: Any, given: list[Any]) -> None:
    if len(made) != len(given):
        raise ValueError("a key is given twice")


def _filled(making: Construction, made: Any, keys: list[Any], items: list[Any]) -> Any:
    found = making.keys(keys)
    made.update(zip(found, making.items(items), strict=True))
    _check_each_once(made, found)
    return made


def _default(making: Construction, factory: Any, keys: list[Any], items: list[Any]) -> Any:
    made: Any = defaultdict(None if factory is None else _FACTORIES[factory])
    return _filled(making, made, keys, items)


def _bunch(making: Construction, state: dict[str, Any]) -> Bunch:
    made = Bunch()
    plain_values.check_mapping(made, state, making.builder.budget)
    for key, item in state.items():
        dict.__setitem__(made, key, making.item(item))
    return made


def _slice(making: Construction, *parts: Any) -> slice:
    return plain_values.CALLS["builtins.slice"](*making.items(list(parts)))  # type: ignore[no-any-return]


def _range(making: Construction, *parts: Any) -> range:
    return plain_values.CALLS["builtins.range"](*making.items(list(parts)))  # type: ignore[no-any-return]


def _array(making: Construction, given: Any, shape: list[int], order: str, block: int) -> Any:
    size = making.blocks[block].nbytes
    making.builder.budget.spend(size if size < making.view_from else 0)
    return arrays.made(making.blocks[block], given, shape, order, view_from=making.view_from)


def _objects(making: Construction, shape: list[int], order: str, items: list[Any]) -> Any:
    return arrays.objects(making.items(items), shape, order)


def _masked(making: Construction, data: int, mask: int, fill: Any) -> Any:
    return arrays.masked(making.item(data), making.item(mask), making.item(fill))


def _type(making: Construction, name: str) -> Any:
    found = making.grant(name)
    if not isinstance(found, type):
        raise ValueError(f"{name} is not a type")  # noqa: TRY004 - the node is wrong, not a value
    return found


def _function(making: Construction, name: str) -> Any:
    found = making.grant(name)
    if isinstance(found, type) or not callable(found):
        raise ValueError(f"{name} is not a function")  # noqa: TRY004 - as above
    return found


def _instance(making: Construction, name: str, state: dict[str, Any]) -> Any:
    made = making.builder.bare(_type(making, name), (), {})
    held = {key: making.item(item) for key, item in state.items()}
    making.builder.give(made, with_writable(type(made), held))
    return made


def _compiled(making: Construction, name: str, arguments: list[Any], state: Any) -> Any:
    kind = compiled.COMPILED.get(name) or _type(making, name)
    budget, held = making.builder.budget, making.item(state)
    budget.spend(compiled.size_of(held) + (RANDOM_GENERATOR if "random" in name else 0))
    return compiled.make(name, kind, making.items(arguments), held)


def _booster(making: Construction, name: str, block: int, state: Any) -> Any:
    kind, content, held = _type(making, name), making.blocks[block].tobytes(), making.item(state)
    making.builder.budget.spend(_OF_BOOSTER * len(content))
    if type(held) is not dict or not plain_values.is_plain(
        held, lambda part: False, making.builder.budget
    ):
        raise ValueError("what is kept beside a booster is no plain data")
    return boosters.KINDS[name].made(kind, content, held)


_MAKERS: dict[str, Callable[..., Any]] = {
    "int": _integer,
    "float": _float,
    "complex": _complex,
    "bytes": _bytes,
    "bytearray": lambda making, block: bytearray(making.blocks[block]),
    "list": lambda making, items: making.items(items),
    "tuple": lambda making, items: tuple(making.items(items)),
    "set": _set,
    "frozenset": lambda making, items: frozenset(_set(making, items)),
    "deque": lambda making, items: deque(making.items(items)),
    "dict": lambda making, keys, items: _filled(making, {}, keys, items),
    "ordered": lambda making, keys, items: _filled(making, OrderedDict(), keys, items),
    "default": _default,
    "bunch": _bunch,
    "slice": _slice,
    "range": _range,
    "scalar": lambda making, given, digits: arrays.scalar(given, digits),
    "dtype": lambda making, given: dtypes.parsed(given, objects=True),
    "array": _array,
    "objects": _objects,
    "masked": _masked,
    "type": _type,
    "function": _function,
    "instance": _instance,
    "compiled": _compiled,
    "booster": _booster,
    "check": lambda making: boosting_check(),
}
