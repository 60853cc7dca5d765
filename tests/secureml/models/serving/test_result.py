"""A result knows whether another says more; a failure knows its row."""

from __future__ import annotations

import pytest

from secureml.models.serving.result import ModelFailed, Result


@pytest.mark.parametrize(
    ("before", "after", "finer"),
    [
        ([[0.25, 0.75]], [[0.3, 0.7]], False),
        ([[0.25, 0.75]], [[None, 0.7]], False),
        ([[0.25, 0.75]], None, False),
        (None, None, False),
        (None, [[0.25, 0.75]], True),
        ([[None, 0.75]], [[0.25, 0.75]], True),
        ([[None, 0.75]], [[None, 0.8]], False),
        ([[0.25, 0.75]], [[0.25, 0.75, 0.0]], True),
        ([[0.25, 0.75]], [[0.25, 0.75]] * 2, True),
    ],
)
def test_a_result_tells_whether_another_says_more(before, after, finer):
    ours, other = Result([1], before), Result([1], after)
    if finer:
        with pytest.raises(ValueError):
            ours.check_coarser(other)
    else:
        ours.check_coarser(other)


def test_a_result_has_as_many_answers_as_it_had():
    with pytest.raises(ValueError, match="another number"):
        Result([1]).check_coarser(Result([1, 2]))


def test_results_with_and_without_classes_differ():
    assert Result([1], None, (0, 1)) != Result([1])
    with pytest.raises(AttributeError):
        Result([1]).predictions = [2]


def test_a_failure_says_which_row_only_where_it_is_the_row():
    assert ModelFailed("not_finite").row is None
    assert ModelFailed("raised.ValueError", 3).row == 3
    assert str(ModelFailed("raised.ValueError", 3)) == "raised.ValueError"


@pytest.mark.parametrize(
    ("before", "after", "finer"),
    [
        (None, None, False),
        (None, 2, False),
        (2, 2, False),
        (2, 1, False),
        (2, 3, True),
        (2, None, True),
    ],
)
def test_numbers_that_were_rounded_are_not_said_to_be_finer(before, after, finer):
    """What is told of them by their places would be too narrow."""
    ours, other = Result([1.5], decimals=before), Result([1.5], decimals=after)
    if finer:
        with pytest.raises(ValueError, match="rounded"):
            ours.check_coarser(other)
    else:
        ours.check_coarser(other)
