"""Universal Binary JSON as XGBoost writes it (https://ubjson.org, draft 12), read strictly.

Arrays of numbers become NumPy arrays over the given bytes. What could be read in two ways is
refused: a name given twice, a marker XGBoost does not write, bytes that belong to nothing.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

# Not "D": what XGBoost says of an array of doubles in a wrong place ends the process.
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4"}
_FORMATS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
_DEEPEST = 32


def loads(data: bytes) -> Any:
    """Return what the bytes hold; raises ValueError."""
    reading = _Reading(data)
    found = reading.value(0)
    if reading.place != len(data):
        raise ValueError("bytes follow its end")
    return found


class _Reading:
    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def _take(self, size: int) -> bytes:
        end = self.place + size
        if size < 0 or end > len(self._data):
            raise ValueError("it ends too early")
        part = self._data[self.place : end]
        self.place = end
        return part

    def _marker(self) -> str:
        return self._take(1).decode("latin-1")

    def _number(self, marker: str) -> Any:
        form = _FORMATS.get(marker)
        if form is None:
            raise ValueError(f"it has the marker {marker!r} where a number is due")
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _length(self) -> int:
        if self._marker() != "L":
            raise ValueError("a length is no number of eight bytes")
        return int(self._number("L"))

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        marker = self._marker()
        if marker == "{":
            return self._object(depth)
        if marker == "[":
            return self._array(depth)
        if marker == "S":
            return self._text()
        return _CONSTANTS[marker] if marker in _CONSTANTS else self._number(marker)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._peek() != "}":
            name = self._text()
            if name in found:
                raise ValueError(f"the name {name[:40]!r} is given twice")
            found[name] = self.value(depth + 1)
        self.place += 1
        return found

    def _peek(self) -> str:
        if self.place >= len(self._data):
            raise ValueError("it ends too early")
        return chr(self._data[self.place])

    def _array(self, depth: int) -> Any:
        if self._peek() == "$":
            self.place += 1
            return self._typed()
        if self._peek() == "#":
            self.place += 1
            return self._counted(depth)
        items = []
        while self._peek() != "]":
            items.append(self.value(depth + 1))
        self.place += 1
        return items

    def _counted(self, depth: int) -> list[Any]:
        count = self._length()
        if not 0 <= count <= len(self._data) - self.place:  # an item takes a byte at least
            raise ValueError("it ends too early")
        return [self.value(depth + 1) for _ in range(count)]

    def _typed(self) -> np.ndarray[Any, Any]:
        code = _NUMBERS.get(self._marker())
        if code is None or self._marker() != "#":
            raise ValueError("an array is of no numbers")
        dtype, count = np.dtype(code), self._length()
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)
