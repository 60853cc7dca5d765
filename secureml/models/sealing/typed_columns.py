"""Columns whose types are known: of a Parquet file, or of what is in a notebook's memory.

They travel as a small format of our own, which needs neither pandas nor pyarrow to be read: a mark
and JSON. Numbers are spelled so that they are the same to the bit again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secureml.models.artifact.version_files import ModelRefused

MARK = b"\0secureml columns 1\n"
_CELLS = frozenset({str, int, float, bool, type(None)})
_DTYPE = re.compile(
    r"(u?int(8|16|32|64)|float(32|64)|bool|str|category|datetime64\[(s|ms|us|ns)\])"
)


@dataclass(frozen=True)
class TypedColumn:
    """Cells as JSON values, None where missing, and the dtype that they have in a frame.

    ``dtype`` is NumPy's name for it, or ``str`` or ``category``; ``categories`` are those of a
    pandas categorical in their order. A date is its ISO text.
    """

    cells: list[Any]
    dtype: str
    categories: tuple[str | int, ...] | None = None


def encode(columns: Mapping[str, TypedColumn]) -> bytes:
    """Return the bytes that `decode` reads."""
    parts = [
        {"name": name, "dtype": found.dtype, "categories": found.categories, "cells": found.cells}
        for name, found in columns.items()
    ]
    return MARK + json.dumps(parts, allow_nan=False).encode()


def decode(content: bytes) -> dict[str, TypedColumn]:
    """Read what `encode` wrote; raises ModelRefused("card") for anything else."""
    try:
        parts = json.loads(content[len(MARK) :])
        columns = {part["name"]: _column(part) for part in parts}
        if len(columns) != len(parts) or not columns:
            raise ValueError("names")
        if len({len(column.cells) for column in columns.values()}) != 1:
            raise ValueError("lengths")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelRefused(
            "card", f"the columns of the table cannot be read ({error})", "give the table again"
        ) from None
    return columns


def _column(part: Mapping[str, Any]) -> TypedColumn:
    categories = part["categories"]
    column = TypedColumn(
        part["cells"], part["dtype"], None if categories is None else tuple(categories)
    )
    if type(part["name"]) is not str or not _DTYPE.fullmatch(column.dtype):
        raise ValueError("a name or dtype")
    if type(column.cells) is not list or not set(map(type, column.cells)) <= _CELLS:
        raise ValueError("cells")
    if (column.dtype == "category") != (column.categories is not None):
        raise ValueError("categories")
    return column


def from_pandas(frame: Any) -> dict[str, TypedColumn]:
    """Return the columns of a pandas frame; raises ModelRefused("card") for a type of none here."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _refuse(f"the table has two columns {twice!r}", "give each its own name")
    places = range(len(names))
    return {names[place]: _of_series(names[place], frame.iloc[:, place]) for place in places}


def _of_series(name: str, series: Any) -> TypedColumn:
    dtype = str(series.dtype)
    if dtype == "category":
        return _categorical(name, series)
    if dtype.startswith("datetime64"):
        if not _DTYPE.fullmatch(dtype):
            raise _refuse(
                f"column {name!r} holds times with a zone ({dtype})",
                "fit the model on times without one: column.dt.tz_convert('UTC')"
                ".dt.tz_localize(None)",
            )
        return TypedColumn([_iso(cell) for cell in series], dtype)
    return plain(name, series.tolist(), dtype)


def _categorical(name: str, series: Any) -> TypedColumn:
    categories = tuple(_plain(each) for each in series.cat.categories)
    if {type(each) for each in categories} not in ({str}, {int}):
        raise _refuse(
            f"column {name!r} is a category of neither texts nor whole numbers",
            "make the categories texts or whole numbers, and fit the model again",
        )
    return TypedColumn([_plain(cell) for cell in series], "category", categories)


def plain(name: str, cells: Iterable[Any], dtype: str) -> TypedColumn:
    """Return a column of numbers, truth values or texts, of a dtype that NumPy or pandas names.

    Where cells are missing, the dtype is what pandas makes of them without types of its own.
    """
    found = [_plain(cell) for cell in cells]
    kinds = {type(cell) for cell in found} - {type(None)}
    gaps = None in found
    lowered = dtype.lower()
    if kinds <= {str}:
        return TypedColumn(found, "str")
    if kinds == {bool}:
        return TypedColumn(found, "bool")
    if not kinds <= {int, float}:
        raise _refuse(
            f"column {name!r} holds values of the types {_listed(kinds)}",
            "give columns of numbers, texts, truth values or dates, one type each",
        )
    if kinds == {int} and not lowered.startswith("float"):
        known = lowered if _DTYPE.fullmatch(lowered) else "int64"
        return TypedColumn(found, "float64" if gaps else known)
    if any(cell is not None and math.isinf(cell) for cell in found):
        raise _refuse(f"column {name!r} holds an infinite number", "correct the table")
    known = lowered if lowered in ("float32", "float64") else "float64"
    return TypedColumn([None if cell is None else float(cell) for cell in found], known)


def _listed(kinds: Iterable[type]) -> str:
    return " and ".join(sorted(kind.__name__ for kind in kinds))


def _plain(value: Any) -> Any:
    """Return a cell as a JSON value; None where it is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def _iso(value: Any) -> str | None:
    return None if type(value).__name__ == "NaTType" else str(value.isoformat())


def to_pandas(columns: Mapping[str, TypedColumn]) -> Any:
    """Return a frame of these columns and dtypes."""
    import pandas as pd  # noqa: PLC0415 - an extra: models of plain arrays do without

    return pd.DataFrame(
        {name: pd.Series(column.cells, dtype=_dtype(column)) for name, column in columns.items()}
    )


def _dtype(column: TypedColumn) -> Any:
    import pandas as pd  # noqa: PLC0415 - as above

    if column.dtype == "str":
        return pd.Series(["a"]).dtype  # `str` since pandas 3, `object` before
    if column.dtype == "category":
        return pd.CategoricalDtype(list(column.categories or ()))
    return "object" if column.dtype == "bool" and None in column.cells else column.dtype


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
