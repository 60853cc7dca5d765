"""Rows of which each value is one of the explained row or of a row beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def stacked(row: Any, background: Any) -> Any:
    """Return the explained row, of length one, and under it those of the background.

    Both are arrays of one dtype, or frames with the same dtypes of columns.
    """
    if isinstance(row, np.ndarray):
        return np.concatenate([row, background])
    import pandas as pd  # noqa: PLC0415 - an extra: only models that take frames need it

    return pd.concat([row, background], ignore_index=True)


def mixed(stack: Any, sources: Array) -> Any:
    """Return rows of which the value in column j of row i is that of row ``sources[i, j]``.

    ``sources`` has the shape (rows, columns); dtypes stay what they are.
    """
    if isinstance(stack, np.ndarray):
        return np.take_along_axis(stack, sources, axis=0)
    columns = {
        name: stack[name].array.take(sources[:, place]) for place, name in enumerate(stack.columns)
    }
    return type(stack)(columns)
