"""Requests are answered one after the other only while that keeps nobody waiting."""

from __future__ import annotations

import pytest

from secureml.workers.latency_budget import Pace, took


def pace_of(*requests, begin=100.0, apart=0.001):
    """Return the pace after requests that took so long, and the time of the last."""
    pace, now = Pace(0.0), begin
    for seconds in [0.001] * Pace.enough + list(requests):
        now += apart
        pace.note(seconds, now)
    return pace, now


def test_nothing_is_quick_until_enough_have_been():
    pace = Pace(0.0)
    for _ in range(Pace.enough - 1):
        pace.note(0.001, 99.0)
    assert not pace.is_quick(99.0)
    pace.note(0.001, 99.0)
    assert pace.is_quick(99.0)


def test_nor_before_it_has_served_for_some_seconds():
    pace, now = pace_of(begin=1.0)
    assert not pace.is_quick(now)
    assert pace.is_quick(now + 5)


def test_one_batch_is_enough_to_send_all_to_the_pool_for_some_seconds():
    pace, now = pace_of()
    assert pace.is_quick(now)
    pace.note(0.045, now)
    for _ in range(Pace.enough):
        pace.note(0.001, now)
    assert not pace.is_quick(now + 1.4)
    assert pace.is_quick(now + 1.6)


def test_while_batches_come_none_is_answered_before_the_others():
    pace, now = pace_of()
    answered_at_once = 0
    for _ in range(600):  # one of 45 ms each second, and a hundred single rows beside it
        pace.note(0.045, now)
        for _ in range(100):
            now += 0.01
            answered_at_once += pace.is_quick(now)
            pace.note(0.001, now)
    assert answered_at_once == 0


def test_after_the_worst_all_is_forgiven_in_the_end():
    pace, now = pace_of(*[3.0] * 100)
    for _ in range(Pace.enough):
        pace.note(0.001, now)
    assert pace.is_quick(now + 5.1)


def test_what_takes_no_longer_than_a_turn_of_the_interpreter_is_quick_for_ever():
    pace, now = pace_of(*[Pace.slice] * 10_000)
    assert pace.is_quick(now)


def test_a_hiccup_now_and_then_changes_nothing():
    pace, now = pace_of()
    for _ in range(100):
        assert pace.is_quick(now)
        pace.note(0.020, now)
        now += 2.0


@pytest.mark.parametrize("seconds", [0.010, 0.020, 0.100])
def test_of_all_time_little_more_than_a_fiftieth_is_spent_making_others_wait(seconds):
    """However slow requests are: only what is answered at once makes others wait."""
    pace, now = pace_of()
    begin, waited = now, 0.0
    while now < begin + 600:
        here = pace.is_quick(now)
        now += seconds
        waited += (seconds - Pace.slice) * here
        pace.note(seconds if here else 0.001, now)  # in the pool its waiting is not seen
    allowed = Pace.forgiven * (now - begin) * (1 + seconds / (Pace.most - Pace.slice))
    assert 0 < waited <= allowed + Pace.ceiling


@pytest.mark.parametrize(
    ("wall", "cpu", "waits", "seconds"),
    [(0.045, 0.044, 0, 0.044), (0.045, 0.001, 3, 0.045), (0.200, 0.002, 0, 0.002)],
    ids=["it computed", "it waited for somebody", "the machine was busy with something else"],
)
def test_what_the_machine_did_meanwhile_is_not_held_against_a_request(wall, cpu, waits, seconds):
    assert took(wall, cpu, waits) == seconds
