"""A request at the limits: what it takes, gives back, and what is asked of a failing store."""

from __future__ import annotations

import pytest

from plugins.rate_limit.gate import Refused, Visit
from plugins.rate_limit.rules import Asker
from secureml import Problem

ACME = Asker("", "acme", "standard", "", "")


def test_plans_are_made_once_for_each_kind_of_asker_and_bounded(desk):
    gate = desk({"for": "client", "allow": "5 per minute"}).plugin._gate
    assert gate.plan(ACME, known=True) is gate.plan(ACME, known=True)
    for n in range(5000):
        gate.plan(Asker(f"198.51.100.{n}"), known=False)
    assert len(gate._plans) <= 4096


def test_a_charge_that_is_refused_says_whom_and_how_long(desk):
    gate = desk({"for": "client", "allow": "1 per minute"}).plugin._gate
    plan = gate.plan(ACME, known=True)
    gate.charge(Visit(), plan.requests, 1)
    visit = Visit()
    with pytest.raises(Refused) as refused:
        gate.charge(visit, plan.requests, 1)
    assert (refused.value.subject, refused.value.rule.name) == ("client:acme", "client")
    assert 0 < refused.value.wait == visit.broken[0][1].wait


def test_a_short_window_that_refuses_takes_nothing_from_a_long_one(desk):
    one = desk({"for": "client", "allow": "2 per second"}, {"for": "client", "allow": "100 ever"})
    one.passed(20)
    one.clock.advance(10)
    _, headers = one.ask()
    assert '"client-2";r=97' in headers["RateLimit"]


def test_slots_are_given_back_by_a_request_that_is_refused_later(desk):
    one = desk({"for": "client", "allow": "1 at once"}, {"for": "client", "allow": "1 per minute"})
    one.passed(1)
    for _ in range(3):
        assert one.ask()[0].reason == "rate_limit.client"


def test_slots_that_cannot_be_held_are_handled_as_the_limit_says(desk, tmp_path):
    for handling, passes in (("refuse", False), ("allow", True)):
        limit = {"for": "client", "allow": "1 at once", "when_store_fails": handling}
        one = desk(limit, counters="gone/counters.db")
        exchange = one.exchange()
        if passes:
            one.enter(exchange)
        else:
            with pytest.raises(Problem, match="unavailable"):
                one.enter(exchange)
        one.leave(exchange)
