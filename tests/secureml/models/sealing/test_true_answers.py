from __future__ import annotations

from dataclasses import replace

import pytest

from secureml.models.card import Feature
from secureml.models.sealing.true_answers import answer_reader
from tests.made_card import card


@pytest.mark.parametrize(
    ("classes", "cell", "answer"),
    [
        (None, "1.5", 1.5),
        (None, " -2 ", -2.0),
        (None, "nan", None),
        (None, "inf", None),
        (None, "much", None),
        ((0, 1), "1", 1),
        ((0, 1), "1.0", 1),
        ((0, 1), "2", None),
        ((0.5, 1.5), "0.50", 0.5),
        (("a", "b"), " a ", "a"),
        (("a", "b"), "A", None),
        (("1", "2"), "1", "1"),
        (("1", "2"), "1.0", None),
        ((False, True), "True", True),
        ((False, True), "false", False),
        ((False, True), "1", None),
    ],
)
def test_a_cell_is_what_the_model_would_answer_or_nothing(classes, cell, answer):
    found = answer_reader(replace(card(Feature("a")), classes=classes))(cell)
    assert found == answer
    assert type(found) is type(answer)
