from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import training_table
from secureml.models.sealing.table_file import TableFile, read_table
from secureml.models.sealing.training_table import choose_columns, learn


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        (tmp_path / "t.csv").write_text(text, "utf-8")
        return read_table(TableFile.load(tmp_path / "t.csv"))

    return from_text


def test_columns_by_name_are_put_in_the_models_order(read):
    found = read("b,y,a\n1,2,3\n")

    assert list(choose_columns(found, "y", ["a", "b"], 2)) == ["a", "b"]


def test_columns_by_place_keep_the_tables_order(read):
    assert list(choose_columns(read("b,y,a\n1,2,3\n"), "y", None, 2)) == ["b", "a"]


@pytest.mark.parametrize(
    ("header", "names", "classes"),
    [
        ("b,a,weight", ["a", "b"], None),  # by name: what is left over is no feature
        ("a,b,Target", None, None),  # by its own name
        ("a,b,z", None, (0, 1, 3)),  # by holding nothing but classes
        ("a,b,z", None, ("3", "x")),
        ("a,b,z", None, (3.0, 4.0)),
    ],
)
def test_the_one_column_that_can_only_be_the_answer_needs_no_naming(read, header, names, classes):
    found = read(f"{header}\n1,2,3\n")

    assert sorted(choose_columns(found, None, names, 2, classes)) == ["a", "b"]


@pytest.mark.parametrize("classes", [None, (0, 1), ("x",)])
def test_a_surplus_column_that_could_be_a_feature_is_for_a_person_to_name(read, classes):
    with pytest.raises(ModelRefused, match="--target"):
        choose_columns(read("a,b,z\n1,2,3\n"), None, None, 2, classes)


@pytest.mark.parametrize(
    ("target", "names", "width", "word"),
    [
        ("q", None, 2, "'q'"),
        (None, None, 2, "--target|3 columns"),
        (None, ["a"], 1, "'b'"),
        ("y", ["a", "c"], 2, "'c'"),
        ("a", ["a", "b"], 2, "'a'"),
    ],
)
def test_columns_that_do_not_fit_are_named(read, target, names, width, word):
    with pytest.raises(ModelRefused, match=word):
        choose_columns(read("b,y,a\n1,2,3\n"), target, names, width)


@pytest.mark.parametrize("column", ["Unnamed: 0", "Unnamed: 12"])
def test_row_numbers_that_pandas_read_back_are_called_so(read, column):
    """A table that was written with its row numbers, read, and written again without."""
    with pytest.raises(ModelRefused, match="row numbers") as refused:
        choose_columns(read(f"{column},y,a\n0,2,3\n"), "y", ["a"], 1)

    assert repr(column) in refused.value.message
    assert "index=False" in refused.value.fix


def test_a_model_that_was_fitted_on_row_numbers_gets_them(read):
    names = ["Unnamed: 0", "a"]
    assert list(choose_columns(read("Unnamed: 0,a\n0,3\n"), None, names, 2)) == names


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

    assert parsers.STR_NA_VALUES == training_table.MISSING


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
    assert "--dtype age=category" in refused.value.fix


@pytest.mark.parametrize("dtype", ["category", "text"])
def test_it_is_a_column_of_words_where_that_is_said(dtype):
    feature, values = learn("code", ["250", "41", "V58", "NA"], dtype)

    assert (feature.dtype, feature.missing) == (dtype, "allow")
    assert values == ["250", "41", "V58", None]


@pytest.mark.parametrize("cells", [["01001", "90210"], ["00", "7"], ["-01", "2"]])
def test_whole_numbers_that_begin_with_a_zero_may_be_codes_and_somebody_has_to_say(cells):
    with pytest.raises(ModelRefused, match="begins with a zero") as refused:
        learn("zip", cells)

    assert "--dtype zip=category" in refused.value.fix
    assert "--dtype zip=integer" in refused.value.fix
    assert learn("zip", cells, "text")[1] == cells
    assert learn("zip", cells, "integer")[1] == [int(cell) for cell in cells]


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
        (["1", "2.5"], "integer", "in 1 of its cells '2.5', and --dtype says"),
        (["1", "9" * 30], "integer", "a whole number of 64 bits"),
        (["1", "9" * 5000], "integer", "a whole number of 64 bits"),
        (["true", "maybe"], "boolean", "in 1 of its cells 'maybe', and --dtype says"),
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
