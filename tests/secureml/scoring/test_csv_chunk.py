from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.models.card import Feature
from secureml.scoring.cell_values import value_of
from secureml.scoring.chosen_columns import Columns
from secureml.scoring.csv_chunk import CsvChunk, CsvTable
from secureml.scoring.csv_file import CsvLayout
from secureml.scoring.refused import NotScored

FEATURES = (Feature("a"), Feature("b", "integer"))


def table(data, *, columns=((1, 0), (2,)), decimal=".", separator=",", features=FEATURES):
    layout = CsvLayout(("b", "a", "id"), separator, decimal, "utf-8", 9, 2)
    return CsvTable(CsvChunk("in.csv", data, 2, layout, Columns(*columns)), features)


numeric = st.text("0123456789.-+eE", min_size=1, max_size=7)


@given(st.lists(st.tuples(numeric, numeric, numeric), min_size=1, max_size=6))
def test_numbers_at_once_are_what_each_cell_is(rows):
    data = "".join(",".join(row) + "\n" for row in rows).encode()
    found = table(data).numbers()
    if found is None:
        return  # then cells are read one by one
    for row, numbers in zip(rows, found, strict=True):
        assert [float(value_of(f, row[at])) for f, at in zip(FEATURES, (1, 0), strict=True)] == (
            numbers.tolist()
        )


@pytest.mark.parametrize("data", [b"1,2,3\n4,5,6\n", b"1,2,3\r\n4,5,6", b"1,2,3\n4,5,6"])
def test_a_chunk_of_numbers_is_read_at_once(data):
    found = table(data)

    assert np.array_equal(found.numbers(), [[2.0, 1.0], [5.0, 4.0]])
    assert list(found.places) == [2, 3]
    assert found.kept([1]) == [["6"]]


def test_numbers_beside_texts_are_read_at_once_as_well():
    found = table(b"1,2,x\n3,4,y\n")

    assert np.array_equal(found.numbers(), [[2.0, 1.0], [4.0, 3.0]])
    assert found.kept([0, 1]) == [["x", "y"]]


@pytest.mark.parametrize(
    "data",
    [b"1,,3\n", b"1,x,3\n", b"1,2\n", b'"1",2,3\n', b"1,1-2,3\n", b"1,2,3\n\n4,5,6\n", b"\n"],
)
def test_what_is_not_all_numbers_is_read_as_texts(data):
    assert table(data)._all_numbers() is None


@pytest.mark.parametrize("data", [b"1,,3\n", b"1,x,3\n", b"1,1-2,3\n", b"NA,1,2\n"])
def test_a_feature_that_is_no_number_is_left_to_the_reader_of_cells(data):
    assert table(data).numbers() is None


def test_texts_are_read_by_column_and_blank_lines_are_passed_over():
    found = table(b'1,2,x\n\n"3",NA,"y\nz"\n5,6,7\n')

    assert found.cells() == [[2.0, None, 6.0], [1, 3, 5]]
    assert found.kept([0, 1]) == [["x", "y\nz"]]
    assert list(found.places) == [2, 4, 6]


def test_rows_of_another_length_are_told_by_their_lines():
    found = table(b"1,2,x\n1,2\n1,2,3,4\n5,6,y\n")

    assert (found.malformed, list(found.places)) == (
        [(3, "feature_count"), (4, "feature_count")], [2, 5]
    )  # fmt: skip


def test_a_feature_without_a_column_is_missing():
    assert table(b"1,2,x\n", columns=((1, None), ())).cells() == [[2.0], [None]]


def test_a_decimal_comma_is_read():
    assert table(b"1;2,5;x\n", separator=";", decimal=",").cells() == [[2.5], [1]]


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"1,2,\xff\n", "line 2: this is not utf-8"), (b'1,2,"x"y\n', "line 2 or below: no CSV")],
)
def test_what_is_no_csv_stops_the_run_with_file_and_line(data, why):
    with pytest.raises(NotScored, match=f"in.csv, {why}"):
        table(data)
