"""A table with true answers is read as requests are, and what is wrong with it is named."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.labelled_table import LabelledReader

ROWS = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 2.0]])
TABLE = "a,b,y\n0,5.0,no\n1,4.0,no\n2,3.0,yes\n3,2.0,yes\n"


@pytest.fixture
def reader(seal):
    def make(answers=("no", "no", "yes", "yes"), target=None, model=None):
        model = model or LogisticRegression()
        return LabelledReader(
            seal(model.fit(ROWS, list(answers)), table=TABLE, target="y").card, model, target
        )

    return make


def written(tmp_path, text):
    path = tmp_path / "held.csv"
    path.write_text(text)
    return path


def test_rows_answers_and_what_the_model_says(reader, tmp_path):
    path = written(tmp_path, "y,b,note,a\nyes,4.5,x,1\nno,2.5,z,3\n")
    read = reader(target="y")
    found = read(path)

    assert found.rows == [(1, 4.5), (3, 2.5)]
    assert found.answers == ["yes", "no"]
    assert found.given.tolist() == [[1.0, 4.5], [3.0, 2.5]]
    assert found.predictions.tolist() == read.estimator.predict(found.given).tolist()
    assert found.probabilities.tolist() == read.estimator.predict_proba(found.given).tolist()
    assert found.digest == sha256(path.read_bytes()).hexdigest()


def test_the_one_column_that_is_no_feature_holds_the_answers(reader, tmp_path):
    assert reader()(written(tmp_path, "a,b,truth\n1,2,no\n")).answers == ["no"]


@pytest.mark.parametrize(
    ("answers", "cells", "read"),
    [
        ([0, 0, 1, 1], ["1", "0.0", " 1 "], [1, 0, 1]),
        ([0.5, 0.5, 2, 2], ["0.5", "2"], [0.5, 2.0]),
        ([False, False, True, True], ["True", "false", "TRUE"], [True, False, True]),
        (["1", "1", "2", "2"], ["1", "2"], ["1", "2"]),
    ],
)
def test_a_cell_is_the_class_that_it_spells(reader, tmp_path, answers, cells, read):
    if 0.5 in answers:
        answers = [str(each) for each in answers]
        read = [str(each) if each != 2.0 else "2" for each in read]
    lines = "".join(f"1,2,{cell}\n" for cell in cells)
    found = reader(answers)(written(tmp_path, f"a,b,y\n{lines}"))
    assert found.answers == read
    assert list(map(type, found.answers)) == list(map(type, read))


def test_a_regressor_has_numbers(reader, tmp_path):
    found = reader([1, 2, 3, 4], model=Ridge())(written(tmp_path, "a,b,y\n1,2,-3e2\n"))
    assert (found.answers, found.probabilities) == ([-300.0], None)


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("a,y\n1,no\n", "the table lacks 'b'", "with the columns that the model is sealed with"),
        ("a,b\n1,2\n", "none is named", "--target"),
        ("a,b,y,z\n1,2,no,no\n", "none is named", "--target"),
        ("a,b,y\n1,2,no\n1,2,maybe\n", "'y' is 'maybe' in row 2", "as the model would give it"),
        ("a,b,y\n1,2,\n", "'y' is '' in row 1", "true answer"),
        ("a,b,y\n1,2,no\n1,,no\n", "row 2 would be refused in a request (b: missing_value)", "out"),
        ("a,b,y\n", "no rows", "one row"),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_the_way_out(reader, tmp_path, text, message, fix):
    path = written(tmp_path, text)
    with pytest.raises(ModelRefused) as refused:
        reader()(path)
    assert message in refused.value.message
    assert refused.value.message.startswith(str(path))
    assert fix in refused.value.fix


def test_a_target_that_is_not_there_is_named(reader, tmp_path):
    with pytest.raises(ModelRefused, match="there is no 'answer'"):
        reader(target="answer")(written(tmp_path, TABLE))


def test_a_model_that_raises_on_the_rows_is_told_so(reader, tmp_path):
    def no_large(rows):
        if rows.max() > 100:
            raise ArithmeticError("too large")
        return rows

    read = reader()
    odd = make_pipeline(FunctionTransformer(no_large), LogisticRegression()).fit(ROWS, [0, 0, 1, 1])
    with pytest.raises(ModelRefused, match=r"raises ArithmeticError on its rows \(too large\)"):
        LabelledReader(read.card, odd)(written(tmp_path, "a,b,y\n101,2,no\n"))
