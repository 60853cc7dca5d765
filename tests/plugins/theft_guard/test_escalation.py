from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.escalation import (
    HOLD,
    Policy,
    budget_wait,
    reset,
    spend_budget,
    update_level,
)

POLICY = Policy(("coarsen", "throttle", "hold"), 10.0, 20, 5.0, 3, 100.0, lambda low, high: high)


@pytest.fixture
def state():
    return ClientState(np.zeros(1, RECORD))


@pytest.fixture
def record(state):
    return state.record


def test_a_flag_comes_at_once_and_the_next_step_only_after_more_rows_and_more_evidence(
    state, record
):
    record["sums"] = 100.0
    record["new_rows"] = 5
    assert update_level(state, POLICY, 1.0) == ("flag",)
    assert update_level(state, POLICY, 2.0) == ()
    record["new_rows"] = 5 + 30
    assert update_level(state, POLICY, 3.0) == ("coarsen",)
    record["sums"], record["new_rows"] = 25.0, 200
    assert update_level(state, POLICY, 4.0) == ()


def test_a_subject_that_behaves_again_is_cleared_but_not_from_a_hold(state, record):
    record["sums"], record["level"], record["new_rows"], record["rise_after"] = 1.0, 2, 50, 50
    assert update_level(state, POLICY, 1.0) == ("watched",)
    record["level"] = POLICY.levels.index(HOLD)
    record["new_rows"] = 500
    assert update_level(state, POLICY, 2.0) == ()
    assert int(record["level"]) == POLICY.levels.index(HOLD)


@pytest.mark.parametrize("level", [-5, 99])
def test_a_level_that_cannot_be_is_brought_back(state, record, level):
    record["level"] = level
    update_level(state, POLICY, 1.0)
    assert 0 <= int(record["level"]) < len(POLICY.levels)


def test_a_reset_forgets_the_evidence(state, record):
    record["sums"], record["level"], record["throttled_until"], record["level_since"] = (
        50.0,
        3,
        99.0,
        1.0,
    )
    reset(record, 7.0)
    assert not record["sums"].any()
    assert (
        int(record["level"]),
        float(record["throttled_until"]),
        float(record["level_since"]),
    ) == (0, 0.0, 7.0)


def test_a_budget_ends_and_begins_again_with_its_window(state, record):
    spend_budget(state, 2, POLICY, 1000.0)
    assert budget_wait(record, POLICY, 1000.0) == 0
    spend_budget(state, 1, POLICY, 1010.0)
    assert budget_wait(record, POLICY, 1020.0) == 80.0
    spend_budget(state, 1, POLICY, 1100.0)
    assert budget_wait(record, POLICY, 1100.0) == 0


def test_a_budget_whose_window_lies_in_the_future_begins_anew(state, record):
    """The clock was set back by a year: nobody waits a year for it."""
    spend_budget(state, 3, POLICY, 1000.0 + 365 * 86_400)
    assert budget_wait(record, POLICY, 1000.0) == 0
    spend_budget(state, 3, POLICY, 1000.0)
    assert budget_wait(record, POLICY, 1000.0) == POLICY.window


def test_a_clock_that_leaps_ahead_ends_the_window(state, record):
    spend_budget(state, 3, POLICY, 1000.0)
    assert budget_wait(record, POLICY, 1000.0 + 10**9) == 0


def test_no_budget_is_never_spent(state, record):
    free = Policy(("coarsen",), 10.0, 20, 5.0, 0, 100.0, lambda low, high: high)
    spend_budget(state, 10**9, free, 1000.0)
    assert budget_wait(record, free, 1000.0) == 0


@pytest.mark.parametrize("rows", [20, 21, 1000])
def test_a_request_of_as_many_rows_as_the_delay_takes_all_levels_at_once(state, record, rows):
    record["sums"] = 100.0
    assert update_level(state, POLICY, 1.0, rows) == ("flag", "coarsen", "throttle", "hold")


def test_just_below_a_threshold_nothing_happens_and_at_it_there_is_a_flag(state, record):
    """The score of equal sums is the sum itself."""
    record["sums"] = 9.999
    assert update_level(state, POLICY, 1.0) == ()
    record["sums"] = 10.0
    assert update_level(state, POLICY, 1.0) == ("flag",)
    assert float(record["level_since"]) == 1.0


def test_the_delay_is_random_between_half_and_half_as_much_again(state, record):
    asked = []
    policy = Policy(("coarsen",), 10.0, 41, 5.0, 0, 100.0, lambda *ends: asked.append(ends) or 7)
    record["sums"], record["new_rows"] = 10.0, 3
    update_level(state, policy, 1.0)

    assert asked == [(20, 61)]
    assert int(record["rise_after"]) == 10


def test_the_cap_is_enough_for_the_last_level_and_not_for_two():
    assert POLICY.cap > POLICY.threshold * (len(POLICY.levels) - 1)
    assert POLICY.cap < POLICY.threshold * (len(POLICY.levels) + 1)
