"""The elements of one tensor, from JSON or from bytes, as JSON would have them.

Row-major and flat, in plain Python values, so that what is read of them later is what would be
read of the same rows in JSON. A NaN is a missing value, as `null` is.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import Any

import numpy as np

from .datatypes import Datatype
from .refusal import LIMIT, TensorsRefused, refused

_LENGTH = struct.Struct("<I")
_NONE = type(None)


def from_json(data: Any, shape: tuple[int, ...], datatype: Datatype, path: str) -> list[Any]:
    """Return the elements of ``data``: flat, or nested as ``shape`` has it.

    Raises TensorsRefused where there are more or fewer than the shape says, or others than the
    datatype has.
    """
    flat = _flat(data, shape, path)
    kinds = datatype.kinds | {_NONE}
    if not kinds.issuperset(map(type, flat)):
        wrong = [place for place, one in enumerate(flat) if type(one) not in kinds][:LIMIT]
        raise TensorsRefused("type", [(f"{path}/{place}", "type") for place in wrong])
    return _as_datatype(flat, datatype, path)


def _flat(data: Any, shape: tuple[int, ...], path: str) -> list[Any]:
    if type(data) is not list:
        raise refused(path, "type")
    if len(shape) == 2 and data and type(data[0]) is list:
        if len(data) != shape[0] or set(map(type, data)) != {list}:
            raise refused(path, "element_count")
        if set(map(len, data)) != {shape[1]}:
            raise refused(path, "element_count")
        return list(chain.from_iterable(data))
    if len(data) != _count(shape):
        raise refused(path, "element_count")
    return data


def _count(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def _as_datatype(flat: list[Any], datatype: Datatype, path: str) -> list[Any]:
    """Return numbers as their datatype holds them: JSON knows no bounds and no single precision."""
    if datatype.name == "FP32":
        # Beyond its largest number, float32 is infinite.
        with np.errstate(over="ignore"):
            values = [None if one is None else float(np.float32(one)) for one in flat]
        wrong = [place for place, one in enumerate(values) if one in (np.inf, -np.inf)]
    elif datatype.name in ("INT64", "INT32"):
        bounds, values = np.iinfo(str(datatype.binary)), flat
        low, high = int(bounds.min), int(bounds.max)
        wrong = [n for n, one in enumerate(flat) if one is not None and not low <= one <= high]
    else:
        return flat
    if wrong:
        faults = [(f"{path}/{place}", "datatype_range") for place in wrong[:LIMIT]]
        raise TensorsRefused("datatype_range", faults)
    return values


def from_bytes(
    data: memoryview, shape: tuple[int, ...], datatype: Datatype, path: str, text_limit: int
) -> list[Any]:
    """Return the elements of a binary tensor, which must end where ``data`` does.

    Raises TensorsRefused, with the code that the same rows would get in JSON: `not_a_number` for
    an infinity, `json_too_large` for a text of more than ``text_limit`` bytes.
    """
    if datatype.binary is None:
        return _texts(data, _count(shape), path, text_limit)
    if len(data) != _count(shape) * datatype.binary.itemsize:
        raise refused(path, "element_count")
    if datatype.name == "BOOL":
        octets = np.frombuffer(data, np.uint8)
        if octets.max() > 1:
            raise refused(path, "type")
        found: list[Any] = octets.astype(bool).tolist()
        return found
    values = np.frombuffer(data, datatype.binary)
    return values.tolist() if values.dtype.kind == "i" else _floats(values)


def _floats(values: np.ndarray[Any, Any]) -> list[Any]:
    found: list[Any] = values.tolist()
    if np.isfinite(values).all():
        return found
    if np.isinf(values).any():
        raise TensorsRefused("infinite", code="not_a_number")
    return [None if one != one else one for one in found]  # noqa: PLR0124 - NaN alone differs


def _texts(data: memoryview, count: int, path: str, limit: int) -> list[str]:
    if count * _LENGTH.size > len(data):
        raise refused(path, "element_count")
    texts, begin = [], 0
    for place in range(count):
        end = begin + _LENGTH.size
        if end > len(data):
            raise refused(path, "element_count")
        (length,) = _LENGTH.unpack_from(data, begin)
        if length > len(data) - end:
            raise refused(path, "element_count")
        if length > limit:
            raise TensorsRefused("long_text", code="json_too_large")
        begin = end + length
        texts.append(_text(data[end:begin], f"{path}/{place}"))
    if begin != len(data):
        raise refused(path, "element_count")
    return texts


def _text(data: memoryview, path: str) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise refused(path, "utf8") from None


def to_bytes(values: list[Any], datatype: Datatype) -> bytes:
    """Return the binary form of elements; None is NaN. Raises OverflowError."""
    if datatype.binary is not None:
        return np.array(values, dtype=datatype.binary).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
