"""Tables of FlatBuffers, read within their bounds (https://flatbuffers.dev/internals)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class FlatTable:
    """One table: its fields by their number, each read within the memory that holds it.

    Raises ValueError for whatever points outside.
    """

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        start = place - _number(data, "<i", place)
        size, self._size = _number(data, "<H", start), _number(data, "<H", start + 2)
        if size < 4 or size % 2:
            raise ValueError("a table has no list of fields")
        self._offsets = [_number(data, "<H", start + at) for at in range(4, size, 2)]

    @classmethod
    def root(cls, data: bytes) -> FlatTable:
        """Return the table that a buffer begins with."""
        return cls(data, _number(data, "<I", 0))

    def _at(self, field: int, size: int) -> int | None:
        offset = self._offsets[field] if field < len(self._offsets) else 0
        if not offset:
            return None
        if offset + size > self._size:
            raise ValueError("a field lies outside of its table")
        return self._place + offset

    @property
    def fields(self) -> frozenset[int]:
        """The numbers of the fields that are there."""
        return frozenset(field for field, offset in enumerate(self._offsets) if offset)

    def integer(self, field: int, default: int) -> int:
        """Return a whole number of four bytes."""
        place = self._at(field, 4)
        return default if place is None else _number(self._data, "<i", place)

    def table(self, field: int) -> FlatTable:
        """Return the table that a field points to."""
        place = self._at(field, 4)
        if place is None:
            raise ValueError("a table is missing")
        return FlatTable(self._data, _target(self._data, place))

    def array(self, field: int, dtype: str) -> Array:
        """Return the numbers that a field points to; none where it is not there."""
        place = self._at(field, 4)
        if place is None:
            return np.zeros(0, dtype)
        begin, count = self._vector(place, np.dtype(dtype).itemsize)
        return np.frombuffer(self._data, dtype, count, begin) if count else np.zeros(0, dtype)

    def text(self, field: int) -> str:
        """Return the text that a field points to; empty where it is not there."""
        return self.array(field, "u1").tobytes().decode("utf-8")

    def tables(self, field: int) -> list[FlatTable]:
        """Return the tables that a field points to; none where it is not there."""
        place = self._at(field, 4)
        if place is None:
            return []
        begin, count = self._vector(place, 4)
        places = [begin + 4 * item for item in range(count)]
        return [FlatTable(self._data, _target(self._data, item)) for item in places]

    def _vector(self, place: int, item: int) -> tuple[int, int]:
        begin = _target(self._data, place)
        count = _number(self._data, "<I", begin)
        if begin + 4 + count * item > len(self._data):
            raise ValueError("an array lies outside of the file")
        return begin + 4, count


def _target(data: bytes, place: int) -> int:
    return place + _number(data, "<I", place)


def _number(data: bytes, form: str, place: int) -> int:
    if place < 0 or place + struct.calcsize(form) > len(data):
        raise ValueError("an offset lies outside of the file")
    return int(struct.unpack_from(form, data, place)[0])
