from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.memory import BANDS, RING, SLOT, Memory, coverage


@pytest.fixture
def memory():
    return Memory(np.zeros(1, SLOT))


def test_a_row_is_new_once(memory):
    marks = [5 << 30, 7 << 30, 5 << 30]
    assert [memory.is_new(mark) for mark in marks] == [True, True, False]
    assert not any(memory.is_new(mark) for mark in marks)


def test_a_thousand_rows_are_known_again(memory):
    marks = np.random.default_rng(0).integers(1, 2**63, 1000).tolist()
    for mark in marks:
        memory.is_new(mark)
    assert np.mean([memory.is_new(mark) for mark in marks]) < 0.05


def test_a_shared_print_is_met_and_a_first_one_is_not(memory):
    one = [1001 * lane for lane in range(1, BANDS + 1)]
    other = [mark + 7 for mark in one]
    other[2] = one[2]
    assert not memory.meets(one)
    assert memory.meets(other)


def test_the_ring_keeps_the_last_rows_and_its_size(memory):
    for number in range(RING + 10):
        row = np.full((1, 3), float(number))
        memory.keep(row, np.array([number % 2]), np.array([[0, 3, 7]]))
    rows, labels = memory.recent(3)

    assert rows.shape == (RING, 3)
    assert min(rows[:, 0].tolist()) == 10
    assert set(labels.tolist()) == {0, 1}
    assert coverage(memory.slot) == pytest.approx(3 / 24)


def test_a_place_that_cannot_be_is_still_within_the_ring(memory):
    memory.slot["kept"] = 2**40 + 5
    memory.keep(np.ones((4, 3)), np.zeros(4, int), np.zeros((4, 3), int))
    assert len(memory.recent(3)[0]) == RING


def test_there_is_a_mean_only_after_enough_rows(memory):
    assert memory.centre(3) is None
    for _ in range(40):
        memory.keep(np.full((1, 3), 2.0), np.array([0]), np.array([[0, 0, 0]]))
    assert np.allclose(memory.centre(3), 2.0, atol=0.01)
    assert coverage(np.zeros(1, SLOT)[0]) == 0.0
