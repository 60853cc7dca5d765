"""How far a row must be moved."""

from __future__ import annotations

import numpy as np
import pytest

from secureml.models.assessment.evasion import Effort, Evasion, evade, substitute
from secureml.models.assessment.oracle import Oracle

EFFORT = Effort(rounds=10, directions=40)


def exact(sealed, rows):
    """The distance of each row to the boundary of a logistic regression behind a scaler."""
    scaler, last = sealed.model[0], sealed.model[-1]
    weights = last.coef_[0]
    return np.abs(scaler.transform(rows) @ weights + last.intercept_[0]) / np.linalg.norm(weights)


def test_the_distance_to_a_plane_is_found_within_a_tenth(linear, chance):
    rows = linear.space.matrix(linear.rows)
    # Near ones: the way to others is cut short by the ranges of the card.
    near = rows[exact(linear, rows) < 1.0][:15]
    found = evade(linear.oracle, linear.space, near, rows, EFFORT, chance)
    ratio = np.array(found.distances) / exact(linear, near)
    assert len(found.distances) == 15
    assert (ratio > 0.999).all()
    assert np.median(ratio) < 1.1


def test_it_is_nearer_than_the_real_row_that_it_began_with(linear, chance):
    rows = linear.space.matrix(linear.rows)
    found = evade(linear.oracle, linear.space, rows[:15], rows, EFFORT, chance)
    assert (np.array(found.distances) <= np.array(found.starts) + 1e-9).all()
    assert found.median < np.median(found.starts)


def test_every_question_is_counted(linear, chance):
    rows, oracle = linear.space.matrix(linear.rows), linear.oracle
    found = evade(oracle, linear.space, rows[:5], rows, EFFORT, chance)
    assert found.questions == oracle.asked > 1000


def test_words_stay_as_they_are(words, chance):
    rows = words.space.matrix(words.rows)
    seen = []

    class Recording(Oracle):
        def ask(self, matrix):
            seen.append(matrix)
            return super().ask(matrix)

    oracle = Recording(words.handle, words.space)
    pro = rows[rows[:, 1] == 2][:5]
    evade(oracle, words.space, pro, rows, EFFORT, chance)
    moved = np.vstack(seen[2:])  # after the targets and the real rows
    assert set(moved[:, 1]) == {2.0}
    assert set(moved[:, 0]) == set(np.round(moved[:, 0]))


def test_a_model_with_one_answer_is_never_moved(linear, chance):
    rows = linear.space.matrix(linear.rows)
    alike = rows[linear.oracle.ask(rows).labels == 1]
    found = evade(linear.oracle, linear.space, alike[:5], alike, EFFORT, chance)
    assert (found.distances, found.median, found.rows) == ((), None, 5)


def test_rows_that_were_not_moved_count_as_far_away():
    assert Evasion((1.0, 2.0, 3.0), (), 4, 2, 0).median == 2.5
    assert Evasion((1.0,), (), 4, 2, 0).median is None


def test_without_numbers_there_is_no_distance(words, chance):
    space = words.space
    space.numbers[:] = False
    with pytest.raises(ValueError, match="no column holds numbers"):
        evade(
            words.oracle, space, space.matrix(words.rows), space.matrix(words.rows), EFFORT, chance
        )


def test_one_other_word_moves_the_rows_that_depend_on_it(words, linear):
    rows = words.space.matrix(words.rows)
    near = rows[np.abs(rows[:, 3]) < 0.5]
    assert substitute(words.oracle, words.space, near) > 0.9
    assert substitute(linear.oracle, linear.space, linear.space.matrix(linear.rows)) is None
