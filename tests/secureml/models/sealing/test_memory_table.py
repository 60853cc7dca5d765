"""What a notebook has in memory becomes columns, whatever it is kept in."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from secureml.models.sealing.memory_table import columns_in_memory
from secureml.models.sealing.typed_columns import TypedColumn


def test_an_array_keeps_its_dtype_and_takes_the_names_of_the_fit():
    found = columns_in_memory(np.array([[1, 2]], dtype=np.float32), ["a", "b"])

    assert found == {"a": TypedColumn([1.0], "float32"), "b": TypedColumn([2.0], "float32")}
    assert list(columns_in_memory(np.zeros((1, 2)), ["a"])) == ["x0", "x1"]
    assert columns_in_memory(np.array([1, 2]), None) == {"x0": TypedColumn([1, 2], "int64")}


def test_an_array_of_objects_has_a_type_for_each_column():
    array = np.array([["a", 1, None], ["b", 2, 2.5]], dtype=object)

    assert [column.dtype for column in columns_in_memory(array, None).values()] == [
        "str",
        "int64",
        "float64",
    ]


def test_lists_of_texts_and_of_objects_are_columns():
    assert columns_in_memory(["a", "b"], None) == {"text": TypedColumn(["a", "b"], "str")}
    assert columns_in_memory([{"dog": 1}, {"cat": 2.5, "dog": 3}], None) == {
        "dog": TypedColumn([1, 3], "int64"),
        "cat": TypedColumn([None, 2.5], "float64"),
    }


def test_a_frame_of_polars_is_a_frame():
    pl = pytest.importorskip("polars", reason="pip install polars")
    frame = pl.DataFrame(
        {
            "f": pl.Series([0.5, None], dtype=pl.Float32),
            "i": pl.Series([1, 2], dtype=pl.Int16),
            "b": [True, False],
            "s": ["02134", None],
            "c": pl.Series(["b", "a"], dtype=pl.Enum(["b", "a", "z"])),
            "k": pl.Series(["b", "a"], dtype=pl.Categorical),
            "d": [datetime.date(2026, 1, 31), None],
            "t": list(map(datetime.datetime.fromisoformat, ["2026-01-31T10:00", "2026-02-01"])),
        }
    )

    assert columns_in_memory(frame, None) == {
        "f": TypedColumn([0.5, None], "float32"),
        "i": TypedColumn([1, 2], "int16"),
        "b": TypedColumn([True, False], "bool"),
        "s": TypedColumn(["02134", None], "str"),
        "c": TypedColumn(["b", "a"], "category", ("b", "a", "z")),
        "k": TypedColumn(["b", "a"], "category", ("b", "a")),
        "d": TypedColumn(["2026-01-31", None], "datetime64[us]"),
        "t": TypedColumn(["2026-01-31T10:00:00", "2026-02-01T00:00:00"], "datetime64[us]"),
    }


def test_times_with_a_zone_are_told_the_way_out():
    pl = pytest.importorskip("polars", reason="pip install polars")
    times = [datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)]

    with pytest.raises(ValueError, match="times with a zone"):
        columns_in_memory(pl.DataFrame({"t": times}), None)


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="no table"):
        columns_in_memory(np.zeros((1, 1, 1)), None)
