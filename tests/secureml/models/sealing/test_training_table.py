from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import training_table
from secureml.models.sealing.table_file import MISSING
from secureml.models.sealing.training_table import is_code, is_truth, learn, texts_of
from secureml.models.sealing.typed_columns import TypedColumn


@pytest.mark.parametrize(
    ("cells", "dtype", "bounds", "missing", "values"),
    [
        (["1", "-2", "+3"], "integer", (-2, 3), "refuse", [1.0, -2.0, 3.0]),
        (["1.0", "2"], "float", (1, 2), "refuse", [1.0, 2.0]),
        (["1e3", ".5"], "float", (0.5, 1000), "refuse", [1000.0, 0.5]),
        (["1", "", "NaN"], "integer", (1, 1), "allow", [1.0, None, None]),
        (["true", "False"], "boolean", (None, None), "refuse", [True, False]),
        (["True", ""], "boolean", (None, None), "allow", [True, None]),
        (["red", "", "blue"], "category", (None, None), "allow", ["red", None, "blue"]),
        (["NA", "DE"], "category", (None, None), "allow", [None, "DE"]),
        (["nan", "DE"], "category", (None, None), "allow", [None, "DE"]),
        (["1", "NA", "NULL", "n/a", "None"], "integer", (1, 1), "allow", [1, *[None] * 4]),
        (["1.5", "#N/A", "null", "<NA>"], "float", (1.5, 1.5), "allow", [1.5, None, None, None]),
        (["true", "NA"], "boolean", (None, None), "allow", [True, None]),
        ([" 1", "2 "], "integer", (1, 2), "refuse", [1, 2]),
        (["0", "-0", "10"], "integer", (0, 10), "refuse", [0, 0, 10]),
        (["9007199254740993", "1"], "integer", (1, 2**53 + 1), "refuse", [2**53 + 1, 1]),
        (["9223372036854775808", "1"], "float", (1, 2.0**63), "refuse", [2.0**63, 1.0]),
        (["1_000", "1"], "category", (None, None), "refuse", ["1_000", "1"]),
        (["inf", "1"], "category", (None, None), "refuse", ["inf", "1"]),
        (["\u0661", "1"], "category", (None, None), "refuse", ["\u0661", "1"]),
    ],
)
def test_a_column_teaches_what_it_plainly_holds(cells, dtype, bounds, missing, values):
    feature, found = learn("c", cells)

    assert (feature.dtype, feature.missing, found) == (dtype, missing, values)
    assert (feature.minimum, feature.maximum) == bounds


def test_what_pandas_takes_for_missing_is_missing():
    parsers = pytest.importorskip("pandas._libs.parsers")

    assert parsers.STR_NA_VALUES == MISSING


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["1", "2", "?"], "in 1 of its cells '?'"),
        ([*"123456", "unknown", "unknown", "-"], "in 3 of its cells 'unknown', '-'"),
        (["1.5", "2", "inf"], "in 1 of its cells 'inf'"),
        (["1000", "2000", "1,000"], "in 1 of its cells '1,000'"),
        (["1", "2", "3", "3", "", "NA", "x"], "in 1 of its cells 'x'"),
        (["1"] * 9 + ["a", "b", "c", "d"], "in 4 of its cells 'a', 'b', 'c' and others"),
    ],
)
def test_a_column_of_numbers_but_for_a_few_words_is_refused_with_them(cells, says):
    with pytest.raises(ModelRefused) as refused:
        learn("age", cells)

    assert "column 'age' holds numbers, and " + says in refused.value.message
    assert "--types age=category" in refused.value.fix


@pytest.mark.parametrize("dtype", ["category", "text"])
def test_it_is_a_column_of_words_where_that_is_said(dtype):
    feature, values = learn("code", ["250", "41", "V58", "NA"], dtype)

    assert (feature.dtype, feature.missing) == (dtype, "allow")
    assert values == ["250", "41", "V58", None]


@pytest.mark.parametrize("cells", [["01001", "90210"], ["00", "7"], ["-01", "2", "NA"]])
def test_whole_numbers_of_which_one_begins_with_a_zero_are_codes(cells):
    assert is_code(cells)
    assert learn("zip", cells, "words")[1][:2] == cells[:2]
    assert learn("zip", cells, "integer")[1][:2] == [int(cell) for cell in cells[:2]]


@pytest.mark.parametrize("cells", [["0", "10"], ["0.5", "00.25"], ["01", "x"], ["NA"]])
def test_other_columns_are_no_codes(cells):
    assert not is_code(cells)
    assert not is_code(TypedColumn(cells, "str"))


def test_a_number_below_one_is_no_code():
    assert learn("share", ["0", "0.5", "00.25"])[0].dtype == "float"


@pytest.mark.parametrize(
    ("cells", "dtype", "kind", "values"),
    [
        (["1", "2"], "float", "float", [1.0, 2.0]),
        (["1", ""], "integer", "integer", [1, None]),
        (["true", "NA"], "boolean", "boolean", [True, None]),
        (["true", "false"], "category", "category", ["true", "false"]),
        (["a", "b"], "text", "text", ["a", "b"]),
    ],
)
def test_a_column_is_what_is_said_of_it(cells, dtype, kind, values):
    feature, found = learn("c", cells, dtype)

    assert (feature.dtype, found) == (kind, values)
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("cells", "dtype", "says"),
    [
        (["1", "x"], "float", "holds numbers, and in 1 of its cells 'x'"),
        (["1", "2.5"], "integer", "in 1 of its cells '2.5', and --types says"),
        (["1", "9" * 30], "integer", "a whole number of 64 bits"),
        (["1", "9" * 5000], "integer", "a whole number of 64 bits"),
        (["true", "maybe"], "boolean", "in 1 of its cells 'maybe', and --types says"),
    ],
)
def test_what_is_said_and_not_so_is_refused_with_the_cells(cells, dtype, says):
    with pytest.raises(ModelRefused, match=says):
        learn("c", cells, dtype)


def test_categories_are_the_distinct_words():
    assert learn("c", ["b", "a", "b"])[0].categories == ("a", "b")


def test_many_distinct_words_are_text():
    feature, _ = learn("c", [f"word {i}" for i in range(training_table.CATEGORY_LIMIT + 1)])

    assert (feature.dtype, feature.categories) == ("text", None)


@pytest.mark.parametrize("cells", [["", ""], ["nan", ""], ["1", "1e999"]])
def test_an_empty_or_overflowing_column_is_refused_by_name(cells):
    with pytest.raises(ModelRefused, match="'c'"):
        learn("c", cells)


def test_whole_numbers_may_be_a_category_of_pandas():
    feature, values = learn("store", ["12", "7", "", "12"], "categorical")

    assert (feature.dtype, feature.categories) == ("integer", (7, 12))
    assert (feature.frame_dtype, values) == ("category", [12, 7, None, 12])


def test_dates_are_said_and_checked():
    feature, values = learn("day", ["2026-01-31", "NA", "2026-02-01T10:00:00"], "date")

    assert (feature.dtype, feature.missing, values[1]) == ("date", "allow", None)
    with pytest.raises(ModelRefused, match="'2026-02-30'"):
        learn("day", ["2026-01-31", "2026-02-30"], "date")


@pytest.mark.parametrize(
    ("column", "kind", "kept"),
    [
        (TypedColumn([1.5, None], "float32"), ("float", 1.5, 1.5, None, "allow"), "float32"),
        (TypedColumn([1, 3], "int8"), ("integer", 1, 3, None, "refuse"), "int8"),
        (TypedColumn([1, 3], "int64"), ("integer", 1, 3, None, "refuse"), ""),
        (TypedColumn(["02134", "NA"], "str"), ("category", *[None] * 2, ("02134", "NA"), "refuse"),
         ""),
        (TypedColumn(["b", None], "category", ("b", "a")),
         ("category", None, None, ("b", "a"), "allow"), "category"),
        (TypedColumn(["2026-01-31"], "datetime64[ns]"), ("date", *[None] * 3, "refuse"),
         "datetime64[ns]"),
        (TypedColumn([True, None], "bool"), ("boolean", *[None] * 3, "allow"), ""),
    ],
)  # fmt: skip
def test_a_type_that_is_known_is_kept(column, kind, kept):
    feature, values = learn("c", column)

    assert (
        feature.dtype, feature.minimum, feature.maximum, feature.categories, feature.missing
    ) == kind  # fmt: skip
    assert (feature.frame_dtype, values) == (kept, column.cells)


def test_what_is_said_goes_before_a_type_that_is_known():
    assert learn("c", TypedColumn([1, 2], "int64"), "float")[0].dtype == "float"
    assert learn("c", TypedColumn(["1", "2"], "str"), "integer")[1] == [1, 2]


def test_words_for_true_and_false_are_known():
    assert is_truth(["TRUE", "false", ""])
    assert not is_truth(["TRUE", "yes"])
    assert texts_of(TypedColumn([1.5, None, "x"], "str")) == ["1.5", "", "x"]
