"""Rows with true answers."""

from __future__ import annotations

import pytest

from secureml.models.assessment.answer_form import FULL, LABELS
from secureml.models.assessment.labelled_rows import LabelledRows, measure_membership


def test_both_tables_are_asked_and_compared_with_their_true_answers(words, chance):
    labelled = LabelledRows(
        words.rows[:150], words.answers[:150], words.rows[150:], words.answers[150:]
    )
    oracle = words.oracle
    found = measure_membership(oracle, words.space, labelled, (LABELS, FULL), chance)
    assert (found.members, found.others, oracle.asked) == (150, 150, 300)
    # All of them are its training table: no attack can know one half from the other.
    assert found.best("labels").auc == pytest.approx(0.5, abs=0.06)


def test_a_few_rows_are_too_few(words, chance):
    labelled = LabelledRows(words.rows, words.answers, words.rows[:29], words.answers[:29])
    with pytest.raises(ValueError, match="29 usable rows, 30 are needed"):
        measure_membership(words.oracle, words.space, labelled, (LABELS,), chance)


def test_true_answers_of_a_regressor_are_amounts(amounts, chance):
    labelled = LabelledRows(
        amounts.rows[:100], amounts.answers[:100], amounts.rows[100:], amounts.answers[100:]
    )
    found = measure_membership(amounts.oracle, amounts.space, labelled, (FULL,), chance)
    assert {each.name for each in found.attacks} == {"loss", "learned"}
