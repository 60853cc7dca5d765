"""Arrays over the blocks of a file: views of its memory, or copies of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from secureml.models.data_form import dtypes

Array = np.ndarray[Any, Any]


def described(array: Array) -> tuple[Any, list[int], str, memoryview]:
    """Return dtype, shape, order ("C" or "F") and bytes of an array without objects.

    The bytes are the array's own memory where it is little-endian and lies in one of the two
    orders, and a copy otherwise. Raises ValueError for a dtype that has no description.
    """
    given = dtypes.described(array.dtype)
    wanted = dtypes.parsed(given)
    order = _order(array)
    array = np.asarray(array, dtype=wanted, order=order)
    flat = array.ravel(order=order)
    raw = flat.view("u1").data if flat.nbytes else memoryview(b"")
    return given, list(array.shape), order, raw


def _order(array: Array) -> Any:
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def made(block: memoryview, given: Any, shape: list[int], order: Any, *, view_from: int) -> Array:
    """Return the array over a block: a read-only view from ``view_from`` bytes on, else a copy.

    Raises ValueError for truth values that are neither true nor false: NumPy counts them by
    adding them up, and would write past the end of what it counted.
    """
    dtype = dtypes.parsed(given)
    if not block.nbytes:
        return np.empty(shape, dtype, order)
    flat = np.frombuffer(block, "u1").view(dtype)
    _check_truth_values(flat)
    if block.nbytes < view_from:
        flat = flat.copy()
    else:
        flat.flags.writeable = False
    return flat.reshape(shape, order=order)


def _check_truth_values(array: Array) -> None:
    fields: Any = array.dtype.fields
    if fields is not None:
        for name in fields:
            _check_truth_values(array[name])
    elif array.dtype.kind == "b" and int(array.view("u1").max(initial=0)) > 1:
        raise ValueError("it holds truth values that are neither true nor false")


def objects(items: list[Any], shape: list[int], order: Any) -> Array:
    """Return an array of objects; each item is kept as it is."""
    # fromiter looks into no item; asarray and its like would.
    flat: Array = np.fromiter(items, dtype="O", count=len(items))
    return flat.reshape(shape, order=order)


def in_order(array: Array) -> tuple[list[Any], list[int], str]:
    """Return items, shape and order of an array of objects."""
    order = _order(array)
    return array.ravel(order=order).tolist(), list(array.shape), order


def masked(data: Any, mask: Any, fill: Any) -> np.ma.MaskedArray[Any, Any]:
    """Return a masked array; ``fill`` is None, plain or of the dtype of the data.

    Raises ValueError where the parts do not fit each other.
    """
    if type(data) is not np.ndarray or type(mask) is not np.ndarray:
        raise ValueError("a masked array is made of something else than arrays")
    if mask.dtype != np.dtype("?") or mask.shape != data.shape or data.dtype.names is not None:
        raise ValueError("the mask does not fit the array")
    result: np.ma.MaskedArray[Any, Any] = np.ma.MaskedArray(data, mask=mask)
    if fill is None:
        return result
    if type(fill) not in (bool, int, float, str) and not _is_of(fill, data.dtype):
        raise ValueError("the fill value does not fit the array")
    result.fill_value = fill
    return result


def _is_of(fill: Any, dtype: np.dtype[Any]) -> bool:
    return isinstance(fill, np.generic) and (type(fill) is dtype.type or dtype.hasobject)


def scalar(given: Any, digits: str) -> Any:
    """Return a NumPy scalar from the hexadecimal digits of its bytes; raises ValueError."""
    array = made(memoryview(bytes.fromhex(digits)), given, [1], "C", view_from=2**63)
    return array[0]
