from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.output_rules.fidelity import FULL, LABELS, Fidelity
from plugins.output_rules.plugin import _limited
from secureml.models.card import Feature, Golden
from secureml.models.serving.result import Result
from secureml.scoring.answers import (
    AnswerColumn,
    as_columns,
    check_probabilities,
    columns_of,
    limited,
)
from secureml.scoring.refused import NotScored
from tests.made_card import card

CARD = replace(
    card(Feature("x")),
    kind="classifier",
    classes=("no", "yes"),
    has_probabilities=True,
    golden=Golden(((0,),), ("no",), ((0.75, 0.25),)),
)


def limit(fidelity):
    return lambda *words: _limited(fidelity, *words)


def test_a_classifier_has_a_column_of_labels_and_one_for_each_class():
    assert columns_of(CARD, probabilities=True) == (
        AnswerColumn("prediction", "string"),
        AnswerColumn("probability_no", "float64"),
        AnswerColumn("probability_yes", "float64"),
    )


@pytest.mark.parametrize(
    ("classes", "kind"), [((0, 1), "int64"), ((True, False), "bool"), ((0.5, 1), "float64"),
                          ((1, "a"), "string")]
)  # fmt: skip
def test_the_type_of_predictions_is_that_of_the_classes(classes, kind):
    found = columns_of(replace(CARD, classes=classes), probabilities=False)

    assert found == (AnswerColumn("prediction", kind),)


def test_several_outputs_have_a_column_each():
    about = replace(card(Feature("x")), outputs=2, golden=Golden(((0,),), ((0.5, 1),), None))

    assert columns_of(about, probabilities=False) == (
        AnswerColumn("prediction_0", "float64"), AnswerColumn("prediction_1", "int64"),
    )  # fmt: skip
    assert as_columns([[1, 2], [3, 4]], None, outputs=2) == [[1, 3], [2, 4]]


def test_answers_are_turned_into_columns():
    assert as_columns(["a", "b"], [[0.1, 0.9], [0.8, 0.2]], outputs=0) == [
        ["a", "b"], [0.1, 0.8], [0.9, 0.2],
    ]  # fmt: skip


def test_probabilities_of_a_model_that_has_none_are_refused():
    with pytest.raises(NotScored, match="has no probabilities; fix: leave out --probabilities"):
        check_probabilities(card(Feature("x")), [])


def test_probabilities_that_the_settings_keep_back_are_refused_with_their_table():
    check_probabilities(CARD, [("output_rules", limit(FULL))])
    with pytest.raises(NotScored, match=r"\[plugins\.output_rules\] keeps probabilities"):
        check_probabilities(CARD, [("output_rules", limit(LABELS))])


def test_answers_are_as_coarse_as_the_settings_say():
    result = Result(["no"], [[0.7512, 0.2488]])

    assert limited(result, CARD, [limit(Fidelity(top=1, decimals=2))]) == (["no"], [[0.75, None]])
    assert limited(result, CARD, []) == (["no"], [[0.7512, 0.2488]])
