"""Waits grow from nothing to the longest, and are forgotten by those who stop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plugins.brute_force.backoff import NO_FAILURES, BackoffPolicy, next_count

POLICY = BackoffPolicy(free=3, first=1.0, longest=60.0, forget=3600.0)


def run(moments, policy=POLICY):
    count, found = NO_FAILURES, []
    for moment in moments:
        count = next_count(count, policy, moment)
        found.append(count.until - moment if count.until else 0.0)
    return found


def test_the_first_guesses_are_free_and_then_each_costs_twice_as_much():
    assert run([0.0] * 10) == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60]


def test_a_million_guesses_cost_no_more_than_the_longest_wait_each():
    count = NO_FAILURES._replace(failures=10**9, last=0.0, until=0.0)
    assert next_count(count, POLICY, 1.0).until == 61.0


def test_who_stops_for_long_begins_anew():
    assert run([0.0] * 5 + [3700.0]) == [0, 0, 0, 1, 2, 0]


def test_what_is_forgotten_is_counted_from_the_end_of_the_wait():
    policy = POLICY._replace(first=3000.0, longest=3000.0)
    found = run([0, 0, 0, 0, 3500.0], policy)
    assert found[-1] == 3000.0


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=50))
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_nothing(moments):
    assert all(0 <= wait <= POLICY.longest + 1e-6 for wait in run(sorted(moments)))
