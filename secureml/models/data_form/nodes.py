"""The kinds of nodes, and the check of a whole table of them before anything is built.

A node is a list in JSON: its kind, then its parts. It refers to nodes with smaller indices only,
so no form holds a cycle; each but the last is referred to, and the last is the estimator. Two
references to one node are one object, as they were in the estimator that was written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from secureml.models.boosters import kinds as boosters
from secureml.models.data_form import dtypes
from secureml.models.data_form.compiled import COMPILED
from secureml.models.data_form.items import is_item, is_reference
from secureml.models.data_form.places import place_of
from secureml.models.data_form.refusals import FormRefused

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,20}", re.ASCII)
_INTEGER = re.compile(r"-?0x[0-9a-f]{1,65536}", re.ASCII)
_HEX = re.compile(r"([0-9a-f]{2}){1,4096}", re.ASCII)
_BITS = re.compile(r"[0-9a-f]{16}", re.ASCII)
_DIMENSIONS = 64  # NumPy's own bound
_MOST_EMPTY = 2**24  # rows of no items, and items of no bytes: nothing in the file backs these
_FACTORIES = frozenset({None, "int", "float", "bool", "str", "list", "dict", "set", "tuple"})


class _Wrong(ValueError):
    """What is wrong with one part; its node says where."""


class _NotAllowed(_Wrong):
    """A name that is not on the list."""


@dataclass
class _Table:
    """What is known while the nodes are checked one after the other."""

    nodes: Sequence[Any]
    sizes: Sequence[int]  # of the blocks, in bytes
    allowed: Container[str]
    index: int = 0
    referred: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)  # blocks

    def refer(self, index: int) -> None:
        if index >= self.index:
            raise _Wrong(f"it refers to node {index}, which does not come before it")
        self.referred.add(index)


_Part = Callable[[_Table, Any], None]


def _text(pattern: re.Pattern[str], what: str) -> _Part:
    def check(table: _Table, part: Any) -> None:
        if type(part) is not str or not pattern.fullmatch(part):
            raise _Wrong(f"{what} is expected here")

    return check


def _item(table: _Table, part: Any) -> None:
    if not is_item(part):
        raise _Wrong("this is neither a plain value nor a reference")
    if is_reference(part):
        table.refer(part)


def _items(table: _Table, part: Any) -> None:
    if type(part) is not list:
        raise _Wrong("its items are not a list")
    for item in part:
        _item(table, item)


def _reference(table: _Table, part: Any) -> None:
    if not is_reference(part) or part < 0:
        raise _Wrong("this is not a reference")
    table.refer(part)


def _state(table: _Table, part: Any) -> None:
    if type(part) is not dict:
        raise _Wrong("its state is not an object")
    for item in part.values():
        _item(table, item)


def _name(table: _Table, part: Any) -> None:
    if type(part) is not str or not _NAME.fullmatch(part):
        raise _Wrong("this is not a name of a type or function")
    if part not in table.allowed:
        raise _NotAllowed(f"{part} is not allowed")


def _compiled_name(table: _Table, part: Any) -> None:
    if type(part) is not str or part not in COMPILED:
        _name(table, part)


def _booster_name(table: _Table, part: Any) -> None:
    _name(table, part)
    if part not in boosters.KINDS:
        raise _Wrong(f"{part} is no booster")


def _block(table: _Table, part: Any) -> None:
    if type(part) is not int or not 0 <= part < len(table.sizes):
        raise _Wrong("this is not a block of the file")
    if part in table.used:
        raise _Wrong(f"block {part} belongs to another array")
    table.used.add(part)


def _shape(table: _Table, part: Any) -> None:
    if type(part) is not list or len(part) > _DIMENSIONS:
        raise _Wrong("this is not a shape")
    if any(type(length) is not int or not 0 <= length < 2**48 for length in part):
        raise _Wrong("this is not a shape")


def _one_of(choices: frozenset[Any], what: str) -> _Part:
    def check(table: _Table, part: Any) -> None:
        if type(part) not in (str, type(None)) or part not in choices:
            raise _Wrong(f"{what} is expected here")

    return check


def _dtype(table: _Table, part: Any) -> None:
    dtypes.parsed(part)


def _any_dtype(table: _Table, part: Any) -> None:
    dtypes.parsed(part, objects=True)


_bits, _hex = _text(_BITS, "a float"), _text(_HEX, "a number in hexadecimal digits")
_order = _one_of(frozenset({"C", "F"}), "an order of items")
GRAMMAR: dict[str, tuple[_Part, ...]] = {
    "int": (_text(_INTEGER, "a whole number"),),
    "float": (_bits,),
    "complex": (_bits, _bits),
    "bytes": (_block,),
    "bytearray": (_block,),
    "list": (_items,),
    "tuple": (_items,),
    "set": (_items,),
    "frozenset": (_items,),
    "deque": (_items,),
    "dict": (_items, _items),
    "ordered": (_items, _items),
    "default": (_one_of(_FACTORIES, "a kind of missing item"), _items, _items),
    "bunch": (_state,),
    "slice": (_item, _item, _item),
    "range": (_item, _item, _item),
    "scalar": (_dtype, _hex),
    "dtype": (_any_dtype,),
    "array": (_dtype, _shape, _order, _block),
    "objects": (_shape, _order, _items),
    "masked": (_reference, _reference, _item),
    "type": (_name,),
    "function": (_name,),
    "instance": (_name, _state),
    "compiled": (_compiled_name, _items, _item),
    "booster": (_booster_name, _block, _item),
    "check": (),
}


def check_nodes(
    nodes: Sequence[Any], sizes: Sequence[int], allowed: Container[str], *, most: int
) -> None:
    """Refuse a table that no writer writes; raises FormRefused, and builds nothing.

    ``sizes`` are the lengths of the blocks in bytes, ``allowed`` the names that may be asked
    for, ``most`` is how many nodes there may be.
    """
    if not 1 <= len(nodes) <= most:
        raise FormRefused("the header", f"it has {len(nodes)} nodes, not 1 to {most}")
    table = _Table(nodes, sizes, allowed)
    for index, node in enumerate(nodes):
        table.index = index
        try:
            _check_node(table, node)
        except ValueError as error:
            check = "globals" if isinstance(error, _NotAllowed) else "format"
            raise FormRefused(place_of(nodes, index), str(error), check=check) from None
    if len(table.referred) != len(nodes) - 1:
        unused = next(index for index in range(len(nodes)) if index not in table.referred)
        raise FormRefused(f"node {unused}", "nothing refers to it")
    if len(table.used) != len(sizes):
        unused = next(index for index in range(len(sizes)) if index not in table.used)
        raise FormRefused(f"block {unused}", "no array is made of it")


_NAMED = frozenset({"type", "function", "instance", "compiled", "booster"})


def names_requested(nodes: Sequence[Any]) -> frozenset[str]:
    """Return the listed names that nodes ask for; what is no node asks for none."""
    named = (node[1] for node in nodes if type(node) is list and node[:1] and _is_named(node))
    return frozenset(name for name in named if type(name) is str and name not in COMPILED)


def _is_named(node: list[Any]) -> bool:
    return len(node) > 1 and type(node[0]) is str and node[0] in _NAMED


def _check_node(table: _Table, node: Any) -> None:
    if type(node) is not list or not node or type(node[0]) is not str:
        raise _Wrong("this is not a node")
    grammar = GRAMMAR.get(node[0])
    if grammar is None:
        raise _Wrong(f"{node[0][:40]!r} is not a kind of node")
    if len(node) != 1 + len(grammar):
        raise _Wrong(f"a node of the kind {node[0]} has {len(grammar)} parts")
    for check, part in zip(grammar, node[1:], strict=True):
        check(table, part)
    agreement = _AGREEMENTS.get(node[0])
    if agreement is not None:
        agreement(table, node)


# --- Parts that must agree with each other ----------------------------------------------------


def _check_pairs(table: _Table, node: Any) -> None:
    if len(node[-2]) != len(node[-1]):
        raise _Wrong("it has another number of keys than of values")


def _check_array(table: _Table, node: Any) -> None:
    _, given, shape, _, block = node
    count, size = _count(shape), dtypes.parsed(given).itemsize
    if size == 0 and count > _MOST_EMPTY:
        raise _Wrong("it has too many items of no bytes")
    if count * size != table.sizes[block]:
        raise _Wrong(
            f"an array of {count} items of {size} bytes is not {table.sizes[block]} bytes long"
        )


def _check_objects(table: _Table, node: Any) -> None:
    if _count(node[1]) != len(node[3]):
        raise _Wrong("its shape is not that of its items")


def _count(shape: list[int]) -> int:
    count = math.prod(shape)
    if count == 0 and math.prod(length for length in shape if length) > _MOST_EMPTY:
        raise _Wrong("it has too many rows of no items")
    return count


def _check_scalar(table: _Table, node: Any) -> None:
    dtype = dtypes.parsed(node[1])
    if dtype.fields is not None or len(node[2]) != 2 * dtype.itemsize:
        raise _Wrong("it is not as long as its dtype says")


_AGREEMENTS: dict[str, Callable[[_Table, Any], None]] = {
    "dict": _check_pairs,
    "ordered": _check_pairs,
    "default": _check_pairs,
    "array": _check_array,
    "objects": _check_objects,
    "scalar": _check_scalar,
}
