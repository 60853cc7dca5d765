"""What a caller sees of an answer."""

from __future__ import annotations

import numpy as np

from secureml.models.assessment.answer_form import FULL, LABELS, Answers, rounded, top

ANSWERS = Answers(np.array([1]), np.array([[0.123, 0.6, 0.277]]))


def test_labels_have_no_probabilities():
    assert LABELS.visible(ANSWERS).shares is None
    assert LABELS.visible(ANSWERS).labels.tolist() == [1]


def test_all_of_it_is_all_of_it():
    assert FULL.visible(ANSWERS).shares.tolist() == [[0.123, 0.6, 0.277]]


def test_numbers_are_rounded():
    assert rounded(1).visible(ANSWERS).shares.tolist() == [[0.1, 0.6, 0.3]]
    amounts = Answers(amounts=np.array([12.345]))
    assert rounded(1).visible(amounts).amounts.tolist() == [12.3]
    assert FULL.visible(amounts).amounts.tolist() == [12.345]


def test_of_the_highest_alone_the_others_share_what_is_left():
    assert top(1, 2).visible(ANSWERS).shares.tolist() == [[0.2, 0.6, 0.2]]


def test_forms_are_named_as_they_are_read():
    assert [form.name for form in (LABELS, rounded(1), rounded(2), top(1, 2), FULL)] == [
        "labels", "1 decimal", "2 decimals", "top 1, 2 decimals", "full",
    ]  # fmt: skip


def test_answers_are_joined_and_parted():
    both = ANSWERS.joined(Answers(np.array([0]), np.array([[0.8, 0.1, 0.1]])))
    assert both.labels.tolist() == [1, 0]
    assert both.part([1]).shares.tolist() == [[0.8, 0.1, 0.1]]
    assert both.amounts is None
