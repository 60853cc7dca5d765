from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.cusum import score
from plugins.theft_guard.escalation import (
    HOLD,
    Policy,
    budget_wait,
    reset,
    spend_budget,
    throttle_wait,
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


def fresh(**fields):
    state = ClientState(np.zeros(1, RECORD))
    for name, value in fields.items():
        state.record[name] = value
    return state


TOP = len(POLICY.levels) - 1
SUMS = st.lists(st.floats(0, 60), min_size=10, max_size=10)


@settings(max_examples=60)
@given(SUMS, st.integers(0, TOP), st.integers(0, 99), st.integers(0, 99), st.integers(1, 40))
def test_a_level_is_what_the_rules_say_of_any_record(sums, level, new_rows, rise_after, batch):
    """Against the rules written down plainly, without the early way out."""
    state = fresh(sums=sums, level=level, new_rows=new_rows, rise_after=rise_after)
    reached, waits = score(state.sum_view), new_rows < rise_after
    names = update_level(state, POLICY, 1.0, batch)

    expected, after = level, rise_after
    while expected < TOP and reached >= 10.0 * (expected + 1):
        if expected and batch < POLICY.delay and new_rows < after:
            break
        expected, after = expected + 1, new_rows + 30
    if expected == level and 0 < level < TOP and reached < 2.5 and not waits:
        expected = 0
    assert int(state.record["level"]) == expected
    climbed = POLICY.levels[level + 1 : expected + 1]
    assert names == (climbed if expected >= level else ("watched",))


@settings(max_examples=40)
@given(st.lists(SUMS, min_size=1, max_size=20), st.integers(1, 5))
def test_one_row_at_a_time_no_level_is_left_out_and_a_hold_is_never_left(series, step):
    state, before = fresh(), 0
    for number, sums in enumerate(series):
        state.record["sums"], state.record["new_rows"] = sums, 20 * step * number
        names = update_level(state, POLICY, float(number))
        level = int(state.record["level"])
        assert 0 <= level <= TOP
        assert level in (before, 0) or level == before + len(names)
        assert not (before == TOP and level != TOP)
        before = level


@pytest.mark.parametrize(
    ("reached", "level"),
    [(math.nextafter(2.5, 0), 0), (2.5, 1), (2.6, 1), (9.9, 1), (10.0, 1), (19.999, 1), (20.0, 2)],
)
def test_between_a_quarter_of_the_threshold_and_the_next_level_nothing_changes(reached, level):
    """Whoever hovers at one threshold is not flagged and cleared in turn."""
    state = fresh(sums=reached, level=1, new_rows=99, rise_after=50)
    update_level(state, POLICY, 1.0)
    assert int(state.record["level"]) == level


@pytest.mark.parametrize(("new_rows", "level"), [(49, 1), (50, 2), (51, 2)])
def test_the_next_level_comes_with_the_row_the_delay_ends_at(new_rows, level):
    state = fresh(sums=20.0, level=1, new_rows=new_rows, rise_after=50)
    update_level(state, POLICY, 1.0)
    assert int(state.record["level"]) == level


@pytest.mark.parametrize(("new_rows", "level"), [(49, 1), (50, 0)])
def test_nobody_is_cleared_before_the_delay_has_ended(new_rows, level):
    """Else a few rows of anybody's would wash off a flag."""
    state = fresh(sums=0.0, level=1, new_rows=new_rows, rise_after=50)
    update_level(state, POLICY, 1.0)
    assert int(state.record["level"]) == level


@pytest.mark.parametrize(("rows", "levels"), [(19, 1), (20, 4), (21, 4)])
def test_a_batch_just_below_the_delay_takes_one_level_alone(rows, levels):
    assert len(update_level(fresh(sums=100.0), POLICY, 1.0, rows)) == levels


def test_without_actions_a_flag_is_the_last_level():
    policy = Policy((), 10.0, 20, 5.0, 0, 100.0, lambda low, high: high)
    state = fresh(sums=99.0)
    assert update_level(state, policy, 1.0, 1000) == ("flag",)
    assert update_level(state, policy, 2.0, 1000) == ()
    assert policy.levels == ("watched", "flag")


def test_one_strong_detector_among_ten_has_to_pass_the_threshold_and_their_logarithm():
    """The score is a mean: alone, a sum needs log 10 more."""
    for extra, names in ((math.log(10) - 1e-6, ()), (math.log(10) + 1e-6, ("flag",))):
        sums = np.zeros(10)
        sums[3] = 10.0 + extra
        alone = fresh(sums=np.where(np.arange(10) == 3, sums, -np.inf))
        assert update_level(alone, POLICY, 1.0) == names


@pytest.mark.parametrize(
    ("now", "wait"), [(999.0, 0), (1000.0, 50), (1049.5, 0.5), (1050.0, 0), (2000.0, 0)]
)
def test_a_pause_ends_at_its_end_and_with_a_clock_that_was_set_back(now, wait):
    """The clock was set back by a year: nobody waits a year for it."""
    record = fresh(last_seen=1000.0, throttled_until=1050.0).record
    assert throttle_wait(record, now) == wait


@pytest.mark.parametrize(("spent", "wait"), [(2, 0.0), (3, 100.0), (4, 100.0)])
def test_a_budget_is_spent_by_the_last_row_of_it(spent, wait):
    state = fresh()
    spend_budget(state, spent, POLICY, 1000.0)
    assert budget_wait(state.record, POLICY, 1000.0) == wait


@pytest.mark.parametrize(("now", "wait"), [(1099.5, 0.5), (1100.0, 0.0), (999.0, 0.0)])
def test_a_window_ends_after_its_length_to_the_moment(now, wait):
    state = fresh()
    spend_budget(state, 3, POLICY, 1000.0)
    assert budget_wait(state.record, POLICY, now) == wait


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 150), st.integers(0, 3)), max_size=20))
def test_of_any_rows_at_any_times_those_since_the_window_began_are_spent(requests):
    state, now, start, spent = fresh(), 5000.0, None, 0
    for after, rows in requests:
        now += after
        spend_budget(state, rows, POLICY, now)
        if start is None or now - start >= POLICY.window:
            start, spent = now, 0
        spent += rows
        assert int(state.record["spent"]) == spent
        assert (budget_wait(state.record, POLICY, now) > 0) == (spent >= POLICY.budget)


def test_a_reset_keeps_the_rows_and_what_was_counted_of_them():
    state = fresh(rows=9, new_rows=7, kept=7, judged=7, members=5)
    reset(state.record, 3.0)
    left = {name: int(state.record[name]) for name in ("rows", "new_rows", "kept", "members")}
    assert left == {"rows": 9, "new_rows": 7, "kept": 7, "members": 5}
    assert int(state.record["judged"]) == 0
