"""Whole columns and single cells are read alike, value for value and type for type."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.models.card import Feature
from secureml.models.rows.cells import CellReader
from secureml.models.rows.columns import ColumnReader, column_reader
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from tests.made_card import card

FEATURES = (
    Feature("a"),
    Feature("b", missing="allow"),
    Feature("n", "integer", missing="allow"),
    Feature("flag", "boolean"),
    Feature("maybe", "boolean", missing="allow"),
    Feature("kind", "category", categories=("x", "y"), missing="allow"),
    Feature("note", "text"),
)
cells = (
    st.none()
    | st.booleans()
    | st.integers(-(10**320), 10**320)
    | st.floats()
    | st.sampled_from(["x", "y", "", "z"])
    | st.just([])
)
right = st.tuples(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    st.floats(-1, 1) | st.none(),
    st.integers(-(2**60), 2**60) | st.none() | st.just(2.0),
    st.booleans(),
    st.booleans() | st.none(),
    st.sampled_from(["x", "y", None]),
    st.text(max_size=3),
).map(list)


@given(st.lists(right | st.lists(cells, min_size=7, max_size=7), min_size=1, max_size=4))
def test_whole_numbers_that_stay_such_are_read_alike_both_ways(rows):
    features = tuple(
        Feature(f.name, f.dtype, missing="refuse") if f.name == "n" else f for f in FEATURES
    )
    about = card(*features)
    assert about.keeps_integers
    try:
        expected = CellReader(about).read(rows)
    except RowsRefused:
        assert ColumnReader(features, keeps_integers=True).read(rows) is None
        return
    found = ColumnReader(features, keeps_integers=True).read(rows)
    values = [
        list(row)
        for row in zip(*(getattr(c, "tolist", lambda c=c: c)() for c in found), strict=True)
    ]
    assert all(
        same(a, b)
        for one, two in zip(values, expected, strict=True)
        for a, b in zip(one, two, strict=True)
    )


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        (2**63, "above_maximum"),
        (1e300, "above_maximum"),
        (-(2**63) - 1, "below_minimum"),
        (2.5, "type"),
        (True, "type"),
        ("3", "type"),
        (None, "missing_value"),
        (math.nan, "not_finite"),
        (math.inf, "not_finite"),
        (10**400, "not_finite"),
    ],
)
@pytest.mark.parametrize("count", [1, 9])
def test_attack_a_whole_number_that_is_none_or_too_large_for_64_bits_is_refused(cell, rule, count):
    about = card(Feature("n", "integer"), Feature("word", "text"))
    rows = [[1, "a"]] * (count - 1) + [[cell, "a"]]
    with pytest.raises(RowsRefused) as refused:
        RowReader(about).read(rows)

    assert refused.value.faults == [(f"/instances/{count - 1}/0", rule)]


def test_whole_numbers_of_64_bits_keep_every_digit():
    about = card(Feature("n", "integer"), Feature("word", "text"))
    numbers = [2**63 - 1, -(2**63), 2**53 + 1, 3.0]

    assert RowReader(about).read([[n, "a"] for n in numbers])[:, 0].tolist() == [*numbers[:3], 3]
    assert RowReader(about).read([[numbers[0], "a"]])[:, 0].tolist() == [2**63 - 1]


def same(one, other):
    """Tell whether two values are the same value of the same type, NaN being itself."""
    if type(one) is float and type(other) is float and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


@given(st.lists(right | st.lists(cells, min_size=7, max_size=7), min_size=1, max_size=4))
def test_columns_are_read_or_left_exactly_where_cells_are_read_or_refused(rows):
    """One reading of a value, whichever way it goes."""
    try:
        expected = CellReader(card(*FEATURES)).read(rows)
    except RowsRefused:
        assert ColumnReader(FEATURES).read(rows) is None
        return
    columns = ColumnReader(FEATURES).read(rows)
    assert columns is not None
    listed = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
    assert all(
        same(one, other)
        for wanted, found in zip(zip(*expected, strict=True), listed, strict=True)
        for one, other in zip(wanted, found, strict=True)
    )


@given(st.lists(right, min_size=1, max_size=8))
def test_an_array_of_objects_holds_plain_values(rows):
    """A model gets floats, truths and strings, whichever way they were read."""
    array = RowReader(card(*FEATURES)).read(rows)

    assert array.shape == (len(rows), 7)
    assert {type(cell) for cell in array.ravel()} <= {float, bool, str}


@pytest.mark.parametrize("cell", [float("nan"), float("inf"), 10**400, True, "1", [1], {}])
def test_attack_no_number_but_a_finite_one_is_in_a_column(cell):
    """NaN is what stands for a missing value, so none may be sent."""
    instances = [[1.0], [None], [1], [2.5], [cell]]
    with pytest.raises(RowsRefused):
        RowReader(card(Feature("a", missing="allow"))).read(instances)


def test_a_fraction_is_no_whole_number():
    """Nor does a missing one hide it."""
    read = column_reader(Feature("n", "integer", missing="allow"))

    assert read((1, None, 2.5)) is None
    assert read((1, None, 2.0)).tolist()[::2] == [1.0, 2.0]
