"""The inputs of a request, each checked whole: names, shapes, datatypes, parameters and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import elements
from .datatypes import DATATYPES, Datatype
from .refusal import LIMIT, TensorsRefused, refused

_KEYS = frozenset({"name", "shape", "datatype", "data", "parameters"})
_REQUIRED = ("name", "shape", "datatype")
# What MLServer's client says a tensor is made of. "base64" would be texts that mean others.
CONTENT_TYPES = frozenset({"np", "pd", "str"})
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: ``shape`` has one or two dimensions, ``values`` are flat and row-major."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    values: list[Any]
    path: str


@dataclass(frozen=True, slots=True)
class _Head:
    """An input without its data; ``size`` is that of its binary data, None for JSON."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    size: int | None
    path: str


def read_tensors(inputs: Any, rest: bytes, text_limit: int) -> list[Tensor]:
    """Return the tensors of a request; ``rest`` is the binary data of all of them, in order.

    Raises TensorsRefused, which names at most twenty places.
    """
    if type(inputs) is not list:
        raise refused("/inputs", "type")
    if not inputs:
        raise refused("/inputs", "empty")
    heads = _heads(inputs)
    if sum(head.size or 0 for head in heads) != len(rest):
        raise refused("/inputs", "binary_data_size")
    found, view, begin = [], memoryview(rest), 0
    for head, raw in zip(heads, inputs, strict=True):
        end = begin + (head.size or 0)
        found.append(_tensor(head, raw, view[begin:end], text_limit))
        begin = end
    return found


def _heads(inputs: Sequence[Any]) -> list[_Head]:
    heads, faults, names = [], [], set()
    for number, raw in enumerate(inputs):
        path = f"/inputs/{number}"
        try:
            head = _head(raw, path)
        except TensorsRefused as wrong:
            faults += wrong.faults
        else:
            if head.name in names:
                faults.append((f"{path}/name", "duplicate"))
            names.add(head.name)
            heads.append(head)
        if len(faults) >= LIMIT:
            break
    if faults:
        raise TensorsRefused(faults[0][1], faults)
    return heads


def _head(raw: Any, path: str) -> _Head:
    if type(raw) is not dict:
        raise refused(path, "type")
    if not raw.keys() <= _KEYS:
        # The unknown name is the client's own text, so the path ends at its tensor.
        raise refused(path, "unknown_key")
    if absent := [key for key in _REQUIRED if key not in raw]:
        raise refused(f"{path}/{absent[0]}", "required")
    name, datatype = raw["name"], raw["datatype"]
    if type(name) is not str or not name:
        raise refused(f"{path}/name", "type")
    if type(datatype) is not str or datatype not in DATATYPES:
        raise refused(f"{path}/datatype", "datatype")
    size = _size(raw.get("parameters", {}), f"{path}/parameters")
    if ("data" in raw) is (size is not None):
        raise refused(f"{path}/data", "required" if size is None else "twice")
    return _Head(name, DATATYPES[datatype], _shape(raw["shape"], f"{path}/shape"), size, path)


def _shape(raw: Any, path: str) -> tuple[int, ...]:
    """Return a shape whose product fits a signed 64-bit integer."""
    if type(raw) is not list or set(map(type, raw)) != {int} or len(raw) > 2:
        raise refused(path, "shape")
    if 0 in raw:
        raise refused(path, "empty")
    if min(raw) < 0 or raw[0] * raw[-1] > _LARGEST:
        raise refused(path, "shape")
    return tuple(raw)


def _size(parameters: Any, path: str) -> int | None:
    check_parameters(parameters, {"binary_data_size", "content_type"}, path)
    if "binary_data_size" not in parameters:
        return None
    size = parameters["binary_data_size"]
    if type(size) is not int or size < 0:
        raise refused(f"{path}/binary_data_size", "type")
    return size


def check_parameters(parameters: Any, known: set[str], path: str) -> None:
    """Refuse parameters that would change what is meant, for nothing here obeys them."""
    if type(parameters) is not dict:
        raise refused(path, "type")
    if not parameters.keys() <= known:
        raise refused(path, "unknown_parameter")
    kind = parameters.get("content_type", "np")
    if type(kind) is not str or kind not in CONTENT_TYPES:
        raise refused(f"{path}/content_type", "content_type")


def flag(parameters: Mapping[str, Any], name: str, path: str, *, otherwise: bool) -> bool:
    """Return a parameter that is true or false, or what it is where it is not given."""
    found = parameters.get(name, otherwise)
    if type(found) is not bool:
        raise refused(f"{path}/{name}", "type")
    return found


def _tensor(head: _Head, raw: Mapping[str, Any], data: memoryview, text_limit: int) -> Tensor:
    path = f"{head.path}/data"
    if head.size is None:
        values = elements.from_json(raw["data"], head.shape, head.datatype, path)
    else:
        values = elements.from_bytes(data, head.shape, head.datatype, path, text_limit)
    return Tensor(head.name, head.datatype, head.shape, values, head.path)
