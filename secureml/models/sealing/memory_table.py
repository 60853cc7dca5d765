"""A table in the memory of a notebook as typed columns: a frame, an array, or lists of rows.

The types are kept: a text that looks like a number is a text, and a pandas category is one. Frames
of pandas and polars are recognised by what they offer, so that neither need be installed.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secureml.models.sealing.typed_columns import TypedColumn, from_pandas, plain

Columns = dict[str, TypedColumn]


def columns_in_memory(table: Any, names: Sequence[str] | None) -> Columns:
    """Return the columns of a table; ``names`` are those of an array's columns, if known.

    A frame of pandas or polars, an array of shape (rows, columns) or (rows,), a list of texts, or
    of objects of names and values. Raises ValueError for what is no table, ModelRefused for a
    column of a type that is not read.
    """
    if hasattr(table, "iloc"):
        if len(set(map(str, table.columns))) != len(table.columns):
            raise ValueError("X has two columns of one name; fix: give each its own")
        return from_pandas(table)
    if hasattr(table, "get_columns"):
        return {series.name: _of_polars(series) for series in table.get_columns()}
    if isinstance(table, (list, tuple)) and table:
        if all(isinstance(row, str) for row in table):
            return {"text": TypedColumn(list(table), "str")}
        if all(isinstance(row, Mapping) for row in table):
            return _of_objects(table)
    return _of_array(np.asarray(table), names)


def _of_polars(series: Any) -> TypedColumn:
    dtype, cells = str(series.dtype), series.to_list()
    if dtype.startswith("Enum"):
        return TypedColumn(cells, "category", tuple(series.dtype.categories.to_list()))
    if dtype.startswith("Categorical"):
        present = dict.fromkeys(cell for cell in cells if cell is not None)
        return TypedColumn(cells, "category", tuple(present))
    if dtype.startswith("Date"):
        found = [None if cell is None else _iso(cell) for cell in cells]
        return TypedColumn(found, "datetime64[us]" if "ns" not in dtype else "datetime64[ns]")
    return plain(series.name, cells, dtype)


def _iso(cell: datetime.date | datetime.datetime) -> str:
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        raise ValueError(
            "X has times with a zone; fix: fit the model on times without one, for instance by "
            'dt.convert_time_zone("UTC").dt.replace_time_zone(None)'
        )
    return cell.isoformat()


def _of_objects(rows: Sequence[Mapping[str, Any]]) -> Columns:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    return {name: plain(name, [row.get(name) for row in rows], "") for name in names}


def _of_array(array: Any, names: Sequence[str] | None) -> Columns:
    if array.ndim == 1 and array.dtype.kind in "OU":
        return {"text": plain("text", array.tolist(), "str")}
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise ValueError(f"X has the shape {array.shape}, which is no table of rows and columns")
    if names is None or len(names) != array.shape[1]:
        names = [f"x{place}" for place in range(array.shape[1])]
    dtype = "" if array.dtype.kind == "O" else str(array.dtype)
    columns = zip(map(str, names), array.T.tolist(), strict=True)
    return {name: plain(name, cells, dtype) for name, cells in columns}
