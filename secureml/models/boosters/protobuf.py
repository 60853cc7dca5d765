"""Messages of Protocol Buffers, read within their bounds (https://protobuf.dev/encoding)."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST = 10  # bytes of a number


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Return each field of a message by its number: a whole number, or bytes.

    Raises ValueError for whatever ends beyond the message, and for groups, which are not used.
    """
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _number(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _number(data, place)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise ValueError("a field is of no known kind")
        if number < 1 or place + size > len(data):
            raise ValueError("a field ends beyond its message")
        yield number, data[place : place + size]
        place += size


def _number(data: memoryview, place: int) -> tuple[int, int]:
    found = 0
    for at in range(_LONGEST):
        if place >= len(data):
            raise ValueError("a number ends beyond its message")
        byte = data[place]
        place += 1
        found |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return found, place
    raise ValueError("a number is too long")


def numbers(value: int | memoryview) -> list[int]:
    """Return the whole numbers of a field, packed or one by one."""
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        number, place = _number(value, place)
        found.append(number)
    return found


def message(value: int | memoryview) -> memoryview:
    """Return a field that is a message; raises ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a message is a number")  # noqa: TRY004 - the bytes are wrong
    return value


def text(value: int | memoryview) -> str:
    """Return a field that is text; raises ValueError for anything else."""
    return bytes(message(value)).decode("utf-8")
