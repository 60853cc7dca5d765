"""Nodes of plain Python values, by their exact types."""

from __future__ import annotations

import struct
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import Bunch

if TYPE_CHECKING:
    from secureml.models.data_form.writer import Table

_FACTORIES = (int, float, bool, str, list, dict, set, tuple)


def _bits(value: float) -> str:
    return struct.pack(">d", value).hex()


def _keys(table: Table, keys: Iterable[Any]) -> list[Any]:
    return [table.item(key, f"[key {place}]") for place, key in enumerate(keys)]


def _values(table: Table, mapping: Any) -> list[Any]:
    # A text that is as long as it likes would make a message of it.
    return [table.item(value, f"[{str(key)[:60]!r}]") for key, value in dict.items(mapping)]


def _mapping(kind: str) -> Callable[[Table, Any], list[Any]]:
    return lambda table, value: [kind, _keys(table, dict.keys(value)), _values(table, value)]


def _sequence(kind: str) -> Callable[[Table, Any], list[Any]]:
    return lambda table, value: [kind, table.items(list(value))]


def _set(kind: str) -> Callable[[Table, Any], list[Any]]:
    # In an order that does not follow the seed of this process's hashes.
    return lambda table, value: [kind, table.items(sorted(value, key=repr))]


def _default(table: Table, value: Any) -> list[Any]:
    factory = value.default_factory
    if factory is not None and factory not in _FACTORIES:
        raise table.refusal(
            f"a defaultdict that calls {factory!r}", "use a dict, and train the model again"
        )
    name = None if factory is None else factory.__name__
    return ["default", name, _keys(table, dict.keys(value)), _values(table, value)]


def _bunch(table: Table, value: Any) -> list[Any]:
    if any(type(key) is not str for key in dict.keys(value)):
        raise table.refusal("a Bunch with keys that are no text", "use a dict instead")
    members = dict.items(value)
    return ["bunch", {key: table.item(held, f".{key}") for key, held in members}]


def _masked(table: Table, value: Any) -> list[Any]:
    data, mask = np.ma.getdata(value), np.ma.getmaskarray(value)
    fill = value.fill_value if data.dtype.names is None else None
    return ["masked", table.item(data, ""), table.item(mask, ""), table.item(fill, "")]


WRITERS: dict[type, Callable[[Table, Any], list[Any]]] = {
    int: lambda table, value: ["int", hex(value)],
    float: lambda table, value: ["float", _bits(value)],
    complex: lambda table, value: ["complex", _bits(value.real), _bits(value.imag)],
    bytes: lambda table, value: ["bytes", table.block(memoryview(value))],
    bytearray: lambda table, value: ["bytearray", table.block(memoryview(value))],
    list: _sequence("list"),
    tuple: _sequence("tuple"),
    deque: _sequence("deque"),
    set: _set("set"),
    frozenset: _set("frozenset"),
    dict: _mapping("dict"),
    OrderedDict: _mapping("ordered"),
    defaultdict: _default,
    Bunch: _bunch,
    slice: lambda table, value: [
        "slice", *(table.item(part, "") for part in (value.start, value.stop, value.step)),
    ],
    range: lambda table, value: [
        "range", *(table.item(part, "") for part in (value.start, value.stop, value.step)),
    ],
    np.ndarray: lambda table, value: table.array(value),
    np.ma.MaskedArray: _masked,
}  # fmt: skip
