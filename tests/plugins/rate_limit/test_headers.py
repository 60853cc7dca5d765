"""The fields, read back by a strict reader of RFC 9651."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.rate_limit.headers import ratelimit, ratelimit_policy, retry_after
from plugins.rate_limit.rules import Rule, parse_allowance
from plugins.rate_limit.strategies import HitResult

_ITEM = re.compile(
    r'"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"((?:;[a-z*][a-z0-9_.*-]*=(?:"[^"\\]*"|-?\d{1,15}))*)'
)


def parsed(text):
    """Read a list of strings with parameters; anything else is a failure."""
    found = {}
    for part in text.split(", "):
        match = _ITEM.fullmatch(part)
        assert match, part
        parameters = dict(one.split("=") for one in match[2].split(";")[1:])
        found[match[1]] = {k: v if v.startswith('"') else int(v) for k, v in parameters.items()}
    return found


def rule(name="client", allow="100 per minute", unit="requests"):
    allowance = parse_allowance(allow)
    return Rule(name, "client", "", "", "", unit, allowance, "fixed-window", "refuse", "test")


def test_a_policy_has_quota_and_window():
    assert parsed(ratelimit_policy([rule(), rule("rows", "5 per hour", "rows")])) == {
        "client": {"q": 100, "w": 60},
        "rows": {"q": 5, "w": 3600, "secureml-unit": '"rows"'},
    }


def test_a_quota_that_never_comes_back_has_no_window():
    ever = rule("budget", "5 ever")
    assert parsed(ratelimit_policy([ever])) == {"budget": {"q": 5}}
    assert parsed(ratelimit([(ever, HitResult(True, 3, 0.0, 1e9))])) == {"budget": {"r": 3}}


def test_a_calendar_month_has_the_window_of_its_longest():
    found = parsed(ratelimit_policy([rule("month", "5 per calendar month")]))
    assert found == {"month": {"q": 5, "w": 31 * 86400}}


def test_an_allowed_hit_has_the_window_and_a_refused_one_its_wait():
    results = [
        (rule("a"), HitResult(True, 3, 0.0, 60.0)),
        (rule("b"), HitResult(False, 0, 12.5, 60.0)),
    ]
    assert parsed(ratelimit(results)) == {"a": {"r": 3, "t": 60}, "b": {"r": 0, "t": 13}}


def test_the_order_is_that_of_the_limits():
    rules = [rule(name) for name in ("c", "a", "b")]
    assert list(parsed(ratelimit_policy(rules))) == ["c", "a", "b"]


@given(st.integers(0, 10**18), st.floats(0, 1e9), st.booleans())
def test_what_remains_is_always_a_valid_field(remaining, seconds, allowed):
    wait = 0.0 if allowed else seconds
    found = parsed(ratelimit([(rule(), HitResult(allowed, remaining, wait, seconds))]))
    assert found["client"]["r"] >= 0
    assert found["client"]["t"] >= seconds or found["client"]["r"] > 10**14


@given(st.integers(1, 10**12), st.sampled_from(["second", "minute", "day", "year"]))
def test_any_allowance_is_a_valid_policy(amount, unit):
    one = rule(allow=f"{amount} per {unit}")
    assert parsed(ratelimit_policy([one]))["client"]["q"] == amount


@given(st.floats(0, 1e9))
def test_retry_after_is_never_too_early_and_never_a_second_late(seconds):
    assert seconds < retry_after(seconds) <= seconds + 1


@pytest.mark.parametrize("seconds", [0.0, 1.0, 60.0])
def test_a_whole_number_of_seconds_is_not_yet_over_when_they_are(seconds):
    assert retry_after(seconds) == seconds + 1
