"""The training table and the holdout, read by a card."""

from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.assessment.table import pair, read_rows
from secureml.models.sealing.table_file import TableFile


def read(sealed, text, target=None):
    return read_rows(TableFile("rows.csv", text.encode()), sealed.handle.card, target)


HEAD = "size,plan,unused,weight"


def test_columns_are_found_by_name_and_answers_by_being_the_only_other_column(words):
    found = read(
        words, "weight,outcome,plan,size,unused\n0.5,yes,pro,3,left\n-1,no,basic,4,right\n"
    )
    assert found.rows == ((3, "pro", "left", 0.5), (4, "basic", "right", -1.0))
    assert found.answers == ("yes", "no")
    assert found.refused == 0


def test_a_table_without_answers_has_none(words):
    assert read(words, f"{HEAD}\n3,pro,left,0.5\n").answers is None


def test_rows_that_a_request_may_not_have_are_left_out_and_counted(words):
    found = read(words, f"{HEAD},y\n3,pro,left,0.5,yes\n3,gold,left,0.5,no\n")
    assert (found.rows, found.answers, found.refused) == (((3, "pro", "left", 0.5),), ("yes",), 1)


def test_an_answer_that_the_model_never_gives_is_none(words, linear):
    assert read(words, f"{HEAD},y\n3,pro,left,0.5,perhaps\n").answers == (None,)
    assert read(linear, "a,b,c,d,y\n1,2,3,4,1.0\n1,2,3,4,0\n1,2,3,4,7\n").answers == (1, 0, None)


def test_answers_of_a_regressor_are_numbers(amounts):
    assert read(amounts, "a,b,c,d,y\n1,2,3,4,1.5\n1,2,3,4,x\n1,2,3,4,inf\n").answers == (
        1.5, None, None,
    )  # fmt: skip


def test_a_column_that_is_missing_is_named(words):
    with pytest.raises(ModelRefused, match=r"rows\.csv has no column 'unused'"):
        read(words, "size,plan,weight\n3,pro,0.5\n")


def test_of_several_other_columns_the_answers_must_be_named(words):
    text = f"{HEAD},y,z\n3,pro,left,0.5,yes,no\n"
    with pytest.raises(ModelRefused, match=r"2 columns .* 'y' and 'z'.*--target"):
        read(words, text)
    assert read(words, text, "z").answers == ("no",)
    with pytest.raises(ModelRefused, match="has no column 'w'"):
        read(words, text, "w")


def test_rows_of_both_tables_are_no_rows_that_the_model_has_not_seen(words):
    training = read(words, f"{HEAD},y\n3,pro,left,0.5,yes\n4,pro,left,0.5,no\n")
    holdout = read(words, f"{HEAD},y\n3,pro,left,0.5,yes\n9,pro,left,0.5,no\n5,pro,left,1,odd\n")
    found = pair(training, holdout)
    assert found.others == [(9, "pro", "left", 0.5)]
    assert found.other_answers == ["no"]
    assert found.notes == (
        "1 rows of the holdout are in the training table, too: left out",
        "1 rows have an answer that the model never gives: left out",
    )


def test_without_true_answers_there_is_no_membership_inference(words):
    with_answers = read(words, f"{HEAD},y\n3,pro,left,0.5,yes\n")
    without = read(words, f"{HEAD}\n3,pro,left,0.5\n")
    with pytest.raises(ModelRefused, match="the holdout has no column of true answers"):
        pair(with_answers, without)
    with pytest.raises(ModelRefused, match="the training table has no column of true answers"):
        pair(without, with_answers)
