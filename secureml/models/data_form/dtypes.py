"""Types of array items as text, and structured ones as tables of fields; always little-endian."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_TEXT = re.compile(
    r"\|b1|[|<][iu]1|<[iu][248]|<f(2|4|8|16)|<c(8|16|32)|[|]S\d{1,9}|<U\d{1,8}"
    r"|<[mM]8(\[(\d{1,9})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?",
    re.ASCII,
)
_OBJECT = "|O"
_KEYS = {"names", "formats", "offsets", "size", "aligned"}
_DEEPEST = 4  # NumPy compares nested dtypes by recursion in C
_MOST_FIELDS = 4096
_LARGEST_ITEM = 2**30


def described(dtype: np.dtype[Any]) -> Any:
    """Return a dtype as JSON has it; raises ValueError for one that has no description."""
    if dtype.fields is not None:
        fields: Any = dtype.fields
        names = list(dtype.names or ())
        if any(len(fields[name]) != 2 for name in names):
            raise ValueError("a structured dtype with titles")
        return {
            "names": names,
            "formats": [described(fields[name][0]) for name in names],
            "offsets": [int(fields[name][1]) for name in names],
            "size": dtype.itemsize,
            "aligned": bool(dtype.isalignedstruct),
        }
    text = dtype.newbyteorder("<").str
    if dtype.subdtype is not None or not (_TEXT.fullmatch(text) or text == _OBJECT):
        raise ValueError(f"the dtype {dtype}")
    return text


def parsed(given: Any, *, objects: bool = False) -> np.dtype[Any]:
    """Return the dtype that JSON describes; raises ValueError.

    Object is one only where ``objects`` says so, and never inside a field.
    """
    if objects and given == _OBJECT:
        return np.dtype("O")
    return _parsed(given, 0)


def _parsed(given: Any, depth: int) -> np.dtype[Any]:
    if type(given) is dict:
        return _structured(given, depth)
    if type(given) is not str or not _TEXT.fullmatch(given):
        raise ValueError("this is not a dtype")
    try:
        dtype = np.dtype(given)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("this is not a dtype") from None
    if dtype.itemsize > _LARGEST_ITEM:
        raise ValueError("its items are too large")
    return dtype


def _structured(given: dict[str, Any], depth: int) -> np.dtype[Any]:
    if given.keys() != _KEYS or depth >= _DEEPEST:
        raise ValueError("this is not a structured dtype")
    _check_fields(given["names"], given["formats"], given["offsets"])
    _check_sizes(given["size"], given["offsets"], given["aligned"])
    layout: Any = {
        "names": given["names"],
        "formats": [_parsed(inner, depth + 1) for inner in given["formats"]],
        "offsets": given["offsets"],
        "itemsize": given["size"],
    }
    try:
        made: np.dtype[Any] = np.dtype(layout, align=given["aligned"])
    except (TypeError, ValueError, OverflowError):
        raise ValueError("the fields do not fit its size") from None
    return made


def _check_fields(names: Any, formats: Any, offsets: Any) -> None:
    if any(type(part) is not list for part in (names, formats, offsets)):
        raise ValueError("the fields are not lists")
    if not 1 <= len(names) == len(formats) == len(offsets) <= _MOST_FIELDS:
        raise ValueError("the numbers of names, formats and offsets differ")
    if any(type(name) is not str or not name for name in names) or len(set(names)) != len(names):
        raise ValueError("the names of the fields are not names, each given once")


def _check_sizes(size: Any, offsets: list[Any], aligned: Any) -> None:
    for number in (size, *offsets):
        if type(number) is not int or not 0 <= number <= _LARGEST_ITEM:
            raise ValueError("the sizes are not whole numbers")
    if type(aligned) is not bool:
        raise ValueError("aligned is neither true nor false")
