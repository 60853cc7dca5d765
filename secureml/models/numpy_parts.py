"""The few NumPy constructors a pickle needs, narrowed to what NumPy itself writes.

``numpy.ndarray`` builds object arrays over raw bytes, and ``numpy.dtype`` takes flags that
say whether bytes are pointers: either is enough to forge Python objects in memory. So a
pickle gets stand-ins which accept what honest pickles hold and nothing else.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np

from .artifact import ModelRefused

ARRAY_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_SIMPLE_DTYPE = re.compile(r"[a-zA-Z?][0-9]{0,9}", re.ASCII)


def _refuse(what: str) -> ModelRefused:
    return ModelRefused(
        "globals",
        f"the model file builds {what} as NumPy would not write it",
        "write the model again with joblib.dump",
    )


class _ArrayKind:
    """Stands for ``numpy.ndarray`` where a pickle names it; cannot be called."""

    def __new__(cls, *_: object, **__: object) -> _ArrayKind:
        raise _refuse("an array")


class ArrayOnDisk:
    """joblib's NumpyArrayWrapper: what kind of array follows in the file."""

    subclass: Any
    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None = None

    def holds_objects(self) -> bool:
        """Return whether a nested pickle follows instead of raw numbers."""
        self._check()
        return self.dtype.hasobject

    def take(self, data: io.BytesIO, size: int) -> np.ndarray[Any, Any]:
        """Return the array at the current place of the file; raises when it is not all there."""
        if self.numpy_array_alignment_bytes is not None:
            data.seek(data.read(1)[0], io.SEEK_CUR)
        count = math.prod(self.shape)
        # Before anything is allocated: a shape is just a claim.
        if count * max(self.dtype.itemsize, 1) > size - data.tell():
            raise ModelRefused(
                "format",
                "an array claims more bytes than the file has",
                "copy the file again; it is damaged",
            )
        raw = data.read(count * self.dtype.itemsize)
        array = (
            np.frombuffer(bytearray(raw), self.dtype, count) if raw else np.empty(count, self.dtype)
        )
        shaped = array.reshape(self.shape, order="F" if self.order == "F" else "C")
        return shaped if self.dtype.isnative else shaped.astype(self.dtype.newbyteorder("="))

    def _check(self) -> None:
        whole = isinstance(self.shape, tuple) and all(
            type(length) is int and length >= 0 for length in self.shape
        )
        if not whole or self.subclass is not _ArrayKind or not isinstance(self.dtype, np.dtype):
            raise _refuse("an array")


def check_dtype_state(dtype: np.dtype[Any], state: Any) -> None:
    """Raise ModelRefused unless NumPy itself would have written this state for this dtype."""
    try:
        if state != _honest_state(dtype, state):
            raise _refuse("a dtype")
    except (TypeError, ValueError, LookupError, AttributeError):
        raise _refuse("a dtype") from None


def _honest_state(dtype: np.dtype[Any], state: Any) -> Any:
    _, endian, subarray, names, fields, size, _, flags = state
    if subarray is not None:
        raise _refuse("a dtype")
    if names is None:
        return _state_of(dtype.newbyteorder(endian))
    parts = [fields[name] for name in names]
    if any(not isinstance(part[0], np.dtype) or part[0].hasobject for part in parts):
        raise _refuse("a dtype")
    layout = {
        "names": list(names),
        "formats": [part[0] for part in parts],
        "offsets": [part[1] for part in parts],
        "itemsize": size,
    }
    return _state_of(np.dtype(layout, align=bool(flags & 0x80)))  # type: ignore[call-overload]


def _state_of(dtype: np.dtype[Any]) -> Any:
    return dtype.__reduce__()[2]


def _make_dtype(kind: object, *_align_and_copy: object) -> np.dtype[Any]:
    if type(kind) is not str or not _SIMPLE_DTYPE.fullmatch(kind):
        raise _refuse("a dtype")
    # A copy, because its state comes next and must not reach NumPy's own.
    return np.dtype(kind, align=False, copy=True)


def _make_array(kind: object, shape: object, code: object) -> np.ndarray[Any, Any]:
    if kind is not _ArrayKind or shape != (0,) or code not in (b"b", "b"):
        raise _refuse("an array")
    return np.ndarray((0,), "b")


def _make_masked_array(kind: object, base: object, shape: object, code: object) -> Any:
    if kind is not np.ma.MaskedArray:
        raise _refuse("a masked array")
    data = _make_array(base, shape, code)
    return np.ma.MaskedArray.__new__(np.ma.MaskedArray, data, mask=np.zeros(0, "?"), dtype="b")


SUBSTITUTES: dict[str, Any] = {
    ARRAY_WRAPPER: ArrayOnDisk,
    "numpy.ndarray": _ArrayKind,
    "numpy.dtype": _make_dtype,
    "numpy._core.multiarray._reconstruct": _make_array,
    "numpy.ma.core._mareconstruct": _make_masked_array,
}
