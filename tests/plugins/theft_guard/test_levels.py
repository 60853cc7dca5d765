from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.levels import HOLD, Terms, forgive, over, settle, spend
from plugins.theft_guard.memory import SLOT, Memory

TERMS = Terms(("coarsen", "throttle", "hold"), 10.0, 20, 5.0, 3, 100.0, lambda low, high: high)


@pytest.fixture
def memory():
    return Memory(np.zeros(1, SLOT))


@pytest.fixture
def slot(memory):
    return memory.slot


def test_a_flag_comes_at_once_and_the_next_step_only_after_more_rows_and_more_evidence(
    memory, slot
):
    slot["sums"] = 100.0
    slot["new"] = 5
    assert settle(memory, TERMS, 1.0) == ("flag",)
    assert settle(memory, TERMS, 2.0) == ()
    slot["new"] = 5 + 30
    assert settle(memory, TERMS, 3.0) == ("coarsen",)
    slot["sums"], slot["new"] = 25.0, 200
    assert settle(memory, TERMS, 4.0) == ()


def test_a_party_that_behaves_again_is_cleared_but_not_from_a_hold(memory, slot):
    slot["sums"], slot["level"], slot["new"], slot["due"] = 1.0, 2, 50, 50
    assert settle(memory, TERMS, 1.0) == ("watched",)
    slot["level"] = TERMS.ladder.index(HOLD)
    slot["new"] = 500
    assert settle(memory, TERMS, 2.0) == ()
    assert int(slot["level"]) == TERMS.ladder.index(HOLD)


@pytest.mark.parametrize("level", [-5, 99])
def test_a_level_that_cannot_be_is_brought_back(memory, slot, level):
    slot["level"] = level
    settle(memory, TERMS, 1.0)
    assert 0 <= int(slot["level"]) < len(TERMS.ladder)


def test_forgiving_forgets_the_evidence(memory, slot):
    slot["sums"], slot["level"], slot["until"], slot["since"] = 50.0, 3, 99.0, 1.0
    forgive(slot, 7.0)
    assert not slot["sums"].any()
    assert (int(slot["level"]), float(slot["until"]), float(slot["since"])) == (0, 0.0, 7.0)


def test_a_budget_ends_and_begins_again_with_its_window(memory, slot):
    spend(memory, 2, TERMS, 1000.0)
    assert over(slot, TERMS, 1000.0) == 0
    spend(memory, 1, TERMS, 1010.0)
    assert over(slot, TERMS, 1020.0) == 80.0
    spend(memory, 1, TERMS, 1100.0)
    assert over(slot, TERMS, 1100.0) == 0
