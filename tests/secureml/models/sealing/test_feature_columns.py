"""The columns of a table that are features are found, and what is none is said to be none."""

from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.feature_columns import choose_columns
from secureml.models.sealing.table_file import TableFile, read_table


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        (tmp_path / "t.csv").write_text(text, "utf-8")
        return read_table(TableFile.load(tmp_path / "t.csv"))

    return from_text


def test_columns_by_name_are_put_in_the_models_order(read):
    found = read("b,y,a\n1,2,3\n")

    assert list(choose_columns(found, "y", ["a", "b"], 2).columns) == ["a", "b"]


def test_columns_by_place_keep_the_tables_order(read):
    assert list(choose_columns(read("b,y,a\n1,2,3\n"), "y", None, 2).columns) == ["b", "a"]


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

    assert sorted(choose_columns(found, None, names, 2, classes).columns) == ["a", "b"]


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


@pytest.mark.parametrize(
    ("text", "target", "names", "width"),
    [
        (",a,y\n0,5,1\n1,6,0\n", "y", ["a"], 1),
        (",a,y\n0,5,1\n1,6,0\n", None, ["a"], 1),
        (",a,y\n0,5,1\n1,6,0\n", "y", None, 1),
        (",a,y\n0,5,1\n1,6,0\n", None, None, 1),
        (",a\n0,5\n", None, None, 1),
        ("Unnamed: 0,a\n7,5\n", None, ["a"], 1),
        ("row,a,y\n0,5,1\n1,6,0\n", "y", ["a"], 1),
    ],
)
def test_row_numbers_that_pandas_wrote_are_left_out_and_told(read, text, target, names, width):
    chosen = choose_columns(read(text), target, names, width)

    assert list(chosen.columns) == ["a"]
    assert "row numbers" in chosen.notes[0]


def test_row_numbers_that_may_be_a_feature_are_for_a_person_to_name(read):
    with pytest.raises(ModelRefused, match="row numbers") as refused:
        choose_columns(read(",a,y\n0,5,1\n1,6,0\n"), None, None, 2)

    assert "index=False" in refused.value.fix


def test_a_first_column_that_is_no_feature_and_counts_nothing_is_refused(read):
    with pytest.raises(ModelRefused, match="'id', which the model was not fitted on") as told:
        choose_columns(read("id,a,y\n17,5,1\n4,6,0\n"), "y", ["a"], 1)

    assert told.value.fix == "write the table without it"


def test_a_model_that_was_fitted_on_row_numbers_gets_them(read):
    for text in ("Unnamed: 0,a\n0,3\n", ",a\n0,3\n"):
        chosen = choose_columns(read(text), None, ["Unnamed: 0", "a"], 2)
        assert list(chosen.columns) == ["Unnamed: 0", "a"]
        assert chosen.notes == ()
