"""Which datatypes a column takes, and which a model's predictions have."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from plugins.open_inference.datatypes import DATATYPES, of_predictions, offered, takes
from secureml.kit.cards import Feature


@pytest.mark.parametrize(
    ("feature", "datatype"),
    [
        (Feature("a"), "FP64"),
        (Feature("a", "integer"), "INT64"),
        (Feature("a", "integer", missing="allow"), "FP64"),
        (Feature("a", "boolean"), "BOOL"),
        (Feature("a", "text"), "BYTES"),
        (Feature("a", "category", categories=("x",)), "BYTES"),
    ],
)
def test_a_column_takes_what_it_is_offered_in(feature, datatype):
    assert offered(feature) == datatype
    assert takes(feature, DATATYPES[datatype])


def test_no_truth_value_is_a_number_and_no_number_a_text():
    number, truth, text = Feature("a"), Feature("a", "boolean"), Feature("a", "text")
    assert not takes(number, DATATYPES["BOOL"])
    assert not takes(number, DATATYPES["BYTES"])
    assert not takes(truth, DATATYPES["INT32"])
    assert not takes(truth, DATATYPES["FP64"])
    assert not takes(text, DATATYPES["FP64"])


@pytest.mark.parametrize(
    ("classes", "answers", "datatype"),
    [
        ((0, 1), (), "INT64"),
        ((False, True), (), "BOOL"),
        (("a", "b"), (), "BYTES"),
        ((0.5, 1.5), (), "FP64"),
        (None, (1.0, 2.0), "FP64"),
        (None, ((1, 0), (0, 1)), "INT64"),
        (None, (-1, 1), "INT64"),
    ],
)
def test_predictions_have_the_datatype_of_the_models_answers(classes, answers, datatype):
    card = SimpleNamespace(classes=classes, golden=SimpleNamespace(predictions=answers))
    assert of_predictions(card) == datatype


def test_answers_of_two_kinds_have_no_datatype():
    card = SimpleNamespace(classes=(1, "a"), golden=None)
    with pytest.raises(TypeError, match="'int', 'str'"):
        of_predictions(card)
