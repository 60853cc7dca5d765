"""The few NumPy constructors a pickle needs, narrowed to what NumPy itself writes.

``numpy.ndarray`` builds object arrays over raw bytes, and ``numpy.dtype`` takes flags that
say whether bytes are pointers: either is enough to forge Python objects in memory. A dtype
or array that is given its state twice would change under whoever uses it already. So a
pickle gets drafts, which nothing else accepts; the state that follows makes the array or
dtype, once, out of exact types only, and no object of the file is asked for a buffer.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from secureml.models.artifact.version_files import ModelRefused

ARRAY_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_WRITE_AGAIN = "write the model again with joblib.dump"
_CODES = frozenset("?bBhHiIlLqQuefdgcFDGOSUV")
_ENDIANS = frozenset("<>|=")
_DIMENSIONS = 64  # NumPy's own bound
_DEEPEST_DTYPE = 4  # NumPy compares nested dtypes by recursion in C
# And meets every field inside fields: one dtype may be the type of a thousand fields of another.
_MOST_FIELDS = 4096
_EMPTY_ITEMS = 65_536  # items of no bytes: nothing in the file backs their number
_WRAPPER_KEYS = frozenset(
    {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
)


def refuse(what: str) -> ModelRefused:
    """Return the refusal of a part that NumPy would have written in another way."""
    return ModelRefused(
        "globals", f"the model file builds {what} as NumPy would not write it", _WRITE_AGAIN
    )


class ArrayKind:
    """Stands for ``numpy.ndarray`` where a pickle names it; cannot be called."""

    def __new__(cls, *_: object, **__: object) -> ArrayKind:
        raise refuse("an array")


class Draft:
    """What stands in the pickle until its state has been read; ``made`` is what comes of it."""

    made: Any = None

    def finish(self, state: Any) -> Any:
        """Return what the state makes of it; raises ModelRefused."""
        raise NotImplementedError


class DtypeDraft(Draft):
    """A dtype of which only the code is known."""

    def __init__(self, code: str) -> None:
        self._code = code

    def finish(self, state: Any) -> np.dtype[Any]:
        """Return a dtype of its own that NumPy would write with exactly this state."""
        try:
            _check_dtype_state(state)
            if state[3] is None:
                dtype = np.dtype(self._code).newbyteorder(state[1])
            else:
                dtype = np.dtype(_layout(state), align=bool(state[7] & 0x80))
            fields_of_void = state[3] is None or self._code == f"V{dtype.itemsize}"
            if not fields_of_void or dtype.__reduce__()[2] != state:
                raise refuse("a dtype")
        except (TypeError, ValueError, LookupError, OverflowError):
            raise refuse("a dtype") from None
        return dtype


def _check_dtype_state(state: Any) -> None:
    if type(state) is not tuple or len(state) != 8:
        raise refuse("a dtype")
    version, endian, subarray, names, fields, size, alignment, flags = state
    exact = all(type(number) is int for number in (version, size, alignment, flags))
    if not exact or type(endian) is not str or endian not in _ENDIANS or subarray is not None:
        raise refuse("a dtype")
    if names is None and fields is None:
        return
    if type(names) is not tuple or type(fields) is not dict or not names:
        raise refuse("a dtype")
    if len(names) != len(fields) or any(type(name) is not str for name in names):
        raise refuse("a dtype")
    if len(names) > _MOST_FIELDS:
        raise refuse("a dtype")
    within = 0
    for name in names:
        _check_field(fields[name])
        depth, inner = _extent(fields[name][0])
        within += inner
        # At once: no dtype that was made before has more, so this stops soon enough.
        if depth >= _DEEPEST_DTYPE or within > _MOST_FIELDS:
            raise refuse("a dtype")


def _check_field(field: Any) -> None:
    plain = type(field) is tuple and len(field) == 2 and type(field[1]) is int
    if not plain or not isinstance(field[0], np.dtype) or field[0].hasobject:
        raise refuse("a dtype")


def _extent(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return how deep a dtype is, and how many dtypes are met on the way through all of it."""
    fields: Any = dtype.fields or {}
    found = [_extent(field[0]) for field in fields.values()]
    return 1 + max((depth for depth, _ in found), default=0), 1 + sum(met for _, met in found)


def _layout(state: Any) -> Any:
    _, _, _, names, fields, size, _, _ = state
    return {
        "names": list(names),
        "formats": [fields[name][0] for name in names],
        "offsets": [fields[name][1] for name in names],
        "itemsize": size,
    }


class ArrayDraft(Draft):
    """An array of which nothing is known yet."""

    def finish(self, state: Any) -> np.ndarray[Any, Any]:
        """Return the array of ``(version, shape, dtype, is_fortran, raw)``."""
        if type(state) is not tuple or len(state) != 5:
            raise refuse("an array")
        _, shape, dtype, fortran, raw = state
        return filled(shape, dtype, raw, order="F" if fortran is True else "C")


class MaskedDraft(Draft):
    """A masked array of which nothing is known yet."""

    def finish(self, state: Any) -> Any:
        """Return the array of ``(version, shape, dtype, is_fortran, raw, mask, fill_value)``."""
        if type(state) is not tuple or len(state) != 7:
            raise refuse("a masked array")
        _, shape, dtype, fortran, raw, mask, fill = state
        order = "F" if fortran is True else "C"
        data = filled(shape, dtype, raw, order=order)
        if dtype.names is not None:
            raise refuse("a masked array")
        made = np.ma.MaskedArray(data, mask=filled(shape, np.dtype("?"), mask, order=order))
        if fill is None:
            return made
        if type(fill) is not np.ndarray or fill.shape != () or fill.dtype != dtype:
            raise refuse("a masked array")
        value: Any = fill[()]
        if dtype.hasobject and type(value) not in _FILLS:
            raise refuse("a masked array")
        made.fill_value = value
        return made


class ArrayOnDisk(Draft):
    """joblib's NumpyArrayWrapper: what kind of array follows in the file."""

    subclass: Any = None
    shape: tuple[int, ...] = ()
    order: str = "C"
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None = None

    def finish(self, state: Any) -> None:
        """Take the description; the reader then takes the array itself from the file."""
        if type(state) is not dict or not _WRAPPER_KEYS.issuperset(state):
            raise refuse("an array")
        shape, dtype, order = state.get("shape"), state.get("dtype"), state.get("order")
        aligned = state.get("numpy_array_alignment_bytes")
        exact = isinstance(dtype, np.dtype) and type(order) is str and type(aligned) in _OPTIONAL
        if not exact or state.get("subclass") is not ArrayKind:
            raise refuse("an array")
        count_of(shape)
        vars(self).update(shape=shape, dtype=dtype, order=order)
        self.numpy_array_alignment_bytes = aligned

    def take(self, data: io.BytesIO, size: int) -> np.ndarray[Any, Any]:
        """Return the array at the current place of the file; raises when it is not all there."""
        if self.numpy_array_alignment_bytes is not None:
            data.seek(data.read(1)[0], io.SEEK_CUR)
        count = count_of(self.shape)
        # Before anything is allocated: a shape is just a claim.
        if count * max(self.dtype.itemsize, 1) > size - data.tell():
            raise ModelRefused(
                "format",
                "an array claims more bytes than the file has",
                "copy the file again; it is damaged",
            )
        array = np.empty(count, self.dtype)
        if array.nbytes:
            data.readinto(array.view("u1").data)
        shaped = array.reshape(self.shape, order="F" if self.order == "F" else "C")
        return shaped if self.dtype.isnative else shaped.astype(self.dtype.newbyteorder("="))


_OPTIONAL = (int, type(None))
_FILLS = (str, int, float, bool, type(None))


def count_of(shape: Any) -> int:
    """Return how many items a shape has; raises ModelRefused unless it is plain lengths."""
    plain = type(shape) is tuple and len(shape) <= _DIMENSIONS
    if not plain or not all(map(_is_length, shape)):
        raise refuse("an array")
    return math.prod(shape)


def _is_length(length: Any) -> bool:
    # Numbers of a megabyte each would be multiplied for ever.
    return type(length) is int and 0 <= length < 2**63


def filled(shape: Any, dtype: Any, raw: Any, *, order: Any = "C") -> np.ndarray[Any, Any]:
    """Return a new array over bytes, or over a list where the dtype is object."""
    count = count_of(shape)
    if not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise refuse("an array")
    if dtype.hasobject:
        if dtype != np.dtype("O") or type(raw) is not list or len(raw) != count:
            raise refuse("an array")
        # fromiter keeps each item as it is; asarray and friends would look inside.
        return np.fromiter(raw, dtype=dtype, count=count).reshape(shape, order=order)
    if type(raw) not in (bytes, bytearray) or len(raw) != count * dtype.itemsize:
        raise refuse("an array")
    if not raw and count > _EMPTY_ITEMS:
        raise refuse("an array")
    flat = np.frombuffer(bytearray(raw), dtype, count) if raw else np.empty(count, dtype)
    return flat.reshape(shape, order=order)


def _make_dtype(kind: object, *_align_and_copy: object) -> DtypeDraft:
    if type(kind) is not str or kind[:1] not in _CODES:
        raise refuse("a dtype")
    if len(kind) > 10 or not (kind[1:] or "0").isdecimal() or not kind.isascii():
        raise refuse("a dtype")
    return DtypeDraft(kind)


def _make_array(kind: object, shape: object, code: object) -> ArrayDraft:
    if kind is not ArrayKind or type(shape) is not tuple or shape != (0,):
        raise refuse("an array")
    if type(code) not in (bytes, str) or code not in (b"b", "b"):
        raise refuse("an array")
    return ArrayDraft()


def _make_masked_array(kind: object, base: object, shape: object, code: object) -> MaskedDraft:
    if kind is not np.ma.MaskedArray:
        raise refuse("a masked array")
    _make_array(base, shape, code)
    return MaskedDraft()


def _make_from_buffer(
    raw: object, dtype: Any, shape: object, order: object, axes: Any = None
) -> np.ndarray[Any, Any]:
    shape = (shape,) if type(shape) is int else shape
    if not isinstance(dtype, np.dtype) or dtype.hasobject or type(order) is not str:
        raise refuse("an array")
    if order != "K":
        return filled(shape, dtype, raw, order=order)
    count_of(axes)
    return filled(shape, dtype, raw).transpose(axes)


def _make_scalar(dtype: Any, raw: object) -> Any:
    if not isinstance(dtype, np.dtype) or dtype.hasobject or dtype.kind == "V":
        raise refuse("a number")
    if type(raw) is not bytes or len(raw) != dtype.itemsize or not raw:
        raise refuse("a number")
    return np.frombuffer(raw, dtype, 1)[0]


SUBSTITUTES: dict[str, Any] = {
    ARRAY_WRAPPER: ArrayOnDisk,
    "numpy.ndarray": ArrayKind,
    "numpy.dtype": _make_dtype,
    "numpy._core.multiarray._reconstruct": _make_array,
    "numpy._core.multiarray.scalar": _make_scalar,
    "numpy._core.numeric._frombuffer": _make_from_buffer,
    "numpy.ma.core._mareconstruct": _make_masked_array,
}
# What of these may be called; the others only name a kind.
CALLS: dict[str, Callable[..., Any]] = {
    name: made for name, made in SUBSTITUTES.items() if not isinstance(made, type)
}
