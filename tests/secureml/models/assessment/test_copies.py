"""Copies of a model, and how good they are."""

from __future__ import annotations

import numpy as np
import pytest

from secureml.models.assessment.answer_form import Answers
from secureml.models.assessment.copies import of_amounts, of_labels, of_shares, quality


def answers(sealed, rows):
    return sealed.oracle.ask(rows)


def test_a_logistic_regression_falls_to_one_full_answer_more_than_it_has_columns(linear, chance):
    """Tramer et al. 2016: d + 1 equations for d weights and an intercept."""
    space = linear.space
    asked, judge = space.uniform(5, chance), space.matrix(linear.rows)
    solved = next(of_shares(space.encode(asked), answers(linear, asked).shares, None, 5))
    assert quality(solved, space.encode(judge), answers(linear, judge)) == 1.0


def test_labels_alone_give_a_worse_copy_of_as_many_answers(linear, chance):
    space = linear.space
    asked, judge = space.uniform(5, chance), space.matrix(linear.rows)
    seen = answers(linear, asked)
    found = [
        quality(copy, space.encode(judge), answers(linear, judge))
        for copy in of_labels(space.encode(asked), seen.labels, 5)
    ]
    assert max(found) < 1.0


def test_of_one_label_the_copy_answers_that_label():
    [copy] = of_labels(np.zeros((3, 2)), np.array([2, 2, 2]), 5)
    assert copy(np.ones((4, 2))).tolist() == [2, 2, 2, 2]


def test_a_linear_regression_is_copied_from_a_few_amounts(amounts, chance):
    space = amounts.space
    asked, judge = space.uniform(10, chance), space.matrix(amounts.rows)
    linear = next(of_amounts(space.encode(asked), answers(amounts, asked).amounts, 5))
    assert quality(linear, space.encode(judge), answers(amounts, judge)) > 0.999


def test_the_quality_of_amounts_is_r_squared_and_at_least_minus_one():
    truth = Answers(amounts=np.array([1.0, 3.0]))
    rows = np.zeros((2, 1))
    assert quality(lambda _: np.array([2.0, 2.0]), rows, truth) == 0.0
    assert quality(lambda _: np.array([900.0, 2.0]), rows, truth) == -1.0
    assert quality(lambda _: np.array([1.0, 3.0]), rows, truth) == pytest.approx(1.0)


def test_rounded_probabilities_of_zero_are_no_infinity():
    shares = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    copy = next(of_shares(np.array([[-2.0], [2.0], [0.0]]), shares, 2, 5))
    assert copy(np.array([[-1.0], [1.0]])).tolist() == [0, 1]
