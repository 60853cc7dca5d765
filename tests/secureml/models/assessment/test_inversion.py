"""A column guessed from the others and the answer."""

from __future__ import annotations

import numpy as np
import pytest

from secureml.models.assessment.answer_form import FULL, LABELS, rounded
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.inversion import guessable, invert
from secureml.models.card import Feature

FORMS = (LABELS, rounded(1), FULL)


@pytest.fixture
def found(words, chance):
    rows = words.space.matrix(words.rows)
    inversion = invert(words.oracle, words.space, rows, [1, 2], FORMS, 100, chance)
    return {column.name: column for column in inversion.columns}


def test_full_answers_give_away_a_column_that_the_model_uses(found):
    assert found["plan"].baseline < 0.6
    assert dict(found["plan"].by_form)["full"] == 1.0


def test_the_coarser_the_answer_the_less_it_gives_away(found):
    labels, rounded_answers, full = (found["plan"].advantage(form.name) for form in FORMS)
    assert labels < rounded_answers <= full
    assert labels > 0.05


def test_of_a_column_that_the_model_does_not_use_an_answer_says_nothing(found):
    assert [found["unused"].advantage(form.name) for form in FORMS] == [0.0, 0.0, 0.0]


def test_the_worst_column_is_the_one_with_the_largest_advantage(words, chance):
    rows = words.space.matrix(words.rows)
    inversion = invert(words.oracle, words.space, rows, [1, 2], FORMS, 50, chance)
    assert inversion.worst("full").name == "plan"
    assert inversion.rows == 50


def test_columns_of_few_values_are_guessable_and_texts_and_amounts_are_not():
    features = (
        Feature("amount"),
        Feature("small", "integer", 0, 3),
        Feature("large", "integer", 0, 99),
        Feature("word", "category", categories=("a", "b")),
        Feature("same", "boolean"),
        Feature("text", "text"),
        Feature("gaps", "category", categories=("a", "b"), missing="allow"),
    )
    rows = [
        [0.5 * i, i % 4, i, "ab"[i % 2], True, str(i % 2), None if i == 3 else "ab"[i % 2]]
        for i in range(40)
    ]
    space = ColumnSpace(features, rows)
    assert guessable(space, space.matrix(rows)) == [1, 3]


def test_who_knows_only_the_other_columns_guesses_as_well_as_they_say(words, chance):
    """The baseline is measured on rows that it was not fitted on."""
    rows = words.space.matrix(words.rows)
    rows[:, 2] = rows[:, 1] > 0.5  # now one word says the other
    [column] = invert(words.oracle, words.space, rows, [2], (LABELS,), 100, chance).columns
    assert column.baseline == 1.0
    assert np.isclose(column.advantage("labels"), 0.0)
