"""Mixed rows hold values of both rows, and every column stays what it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plugins.explain.mixtures import mixed, stacked

SOURCES = np.array([[0, 1, 2], [2, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("dtype", ["float64", "int64", "bool", "object"])
def test_an_array_keeps_its_dtype(dtype):
    row, background = np.array([[1, 0, 1]]), np.array([[0, 1, 0], [1, 1, 0]])
    stack = stacked(row.astype(dtype), background.astype(dtype))
    found = mixed(stack, SOURCES)

    assert found.dtype == np.dtype(dtype)
    assert found.astype(int).tolist() == [[1, 1, 0], [1, 0, 0], [1, 0, 1]]


def test_a_frame_keeps_the_dtypes_and_names_of_its_columns():
    def frame(*rows):
        made = pd.DataFrame(rows, columns=["word", "count", "size"])
        return made.astype({"word": pd.Series(["a"]).dtype, "count": "int64", "size": "float64"})

    row, background = frame(("a", 1, 0.5)), frame(("b", 2, 1.5), ("c", 3, np.nan))
    found = mixed(stacked(row, background), SOURCES)

    assert found.dtypes.to_dict() == row.dtypes.to_dict()
    assert found["word"].tolist() == ["a", "c", "a"]
    assert found["count"].tolist() == [2, 1, 1]
    assert found["size"].isna().tolist() == [True, False, False]
