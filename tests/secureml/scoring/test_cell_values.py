from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.models.card import Feature
from secureml.scoring.cell_values import value_of, values_of

FEATURES = (
    Feature("f"),
    Feature("i", "integer"),
    Feature("b", "boolean"),
    Feature("c", "category", categories=("red",)),
    Feature("t", "text"),
    Feature("d", "date"),
)
cells = st.sampled_from(
    ("", "NA", "1", "-2", "3.0", "1e5", "1E400", ".5", "5.", "+7", " 8 ", "007", "1,5", "1.234,5",
     "1_000", "nan", "inf", "true", "False", "red", "e", "1e", "--1", "1-2", "٣", "2026-01-31",
     "9007199254740993", "9" * 390, "9" * 5000)
) | st.text(max_size=6)  # fmt: skip


@given(st.sampled_from(FEATURES), st.lists(cells, max_size=8), st.sampled_from((".", ",")))
def test_a_column_is_read_as_its_cells_are(feature, texts, decimal):
    found = values_of(feature, texts, decimal)

    expected = [value_of(feature, text, decimal) for text in texts]
    assert [(type(cell), cell) for cell in found] == [(type(cell), cell) for cell in expected]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_the_same_to_the_bit(numbers):
    assert values_of(Feature("f"), [repr(number) for number in numbers]) == numbers


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers_stay_whole(numbers):
    found = values_of(Feature("i", "integer"), [str(number) for number in numbers])

    assert found == numbers
    assert {type(cell) for cell in found} <= {int}


@pytest.mark.parametrize("text", ["nan", "NA", "", "NULL"])
def test_what_pandas_takes_for_missing_is_missing(text):
    assert [value_of(feature, text) for feature in FEATURES] == [None] * len(FEATURES)


@pytest.mark.parametrize("text", ["1_000", "inf", "0x10", "1.234,5", "٣", "one"])
def test_what_is_no_number_stays_text_for_the_card_to_refuse(text):
    assert value_of(Feature("f"), text) == text


def test_a_decimal_comma_is_read_and_a_point_beside_it_is_not():
    assert value_of(Feature("f"), "1,5", ",") == 1.5
    assert value_of(Feature("f"), "1.5", ",") == "1.5"
    assert value_of(Feature("f"), "1,5", ".") == "1,5"
