"""The fields, read back by a strict reader of RFC 9651."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.rate_limit.allowance import read
from plugins.rate_limit.policy_fields import policies, retry_after, standing
from plugins.rate_limit.rules import Rule
from plugins.rate_limit.windows import Outcome

_ITEM = re.compile(
    r'"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"((?:;[a-z*][a-z0-9_.*-]*=(?:"[^"\\]*"|-?\d{1,15}))*)'
)


def parsed(text):
    """Read a list of strings with parameters; anything else is a failure."""
    found = {}
    for part in text.split(", "):
        match = _ITEM.fullmatch(part)
        assert match, part
        words = dict(word.split("=") for word in match[2].split(";")[1:])
        found[match[1]] = {k: v if v.startswith('"') else int(v) for k, v in words.items()}
    return found


def rule(name="client", allow="100 per minute", unit="requests"):
    return Rule(name, "client", "", "", "", unit, read(allow), "fixed-window", "refuse", "test")


def test_a_policy_says_quota_and_window():
    assert parsed(policies([rule(), rule("rows", "5 per hour", "rows")])) == {
        "client": {"q": 100, "w": 60},
        "rows": {"q": 5, "w": 3600, "secureml-unit": '"rows"'},
    }


def test_what_never_comes_back_has_no_window():
    ever = rule("budget", "5 ever")
    assert parsed(policies([ever])) == {"budget": {"q": 5}}
    assert parsed(standing([(ever, Outcome(True, 3, 0.0, 1e9))])) == {"budget": {"r": 3}}


@given(st.integers(0, 10**18), st.floats(0, 1e9), st.booleans())
def test_what_is_left_is_always_a_valid_field(left, seconds, allowed):
    found = parsed(
        standing([(rule(), Outcome(allowed, left, 0.0 if allowed else seconds, seconds))])
    )
    assert found["client"]["r"] >= 0
    assert found["client"]["t"] >= seconds or found["client"]["r"] > 10**14


@given(st.floats(0, 1e9))
def test_retry_after_is_never_too_early_and_never_a_second_late(wait):
    assert wait < retry_after(wait) <= wait + 1


@pytest.mark.parametrize("wait", [0.0, 1.0, 60.0])
def test_a_whole_number_of_seconds_is_not_yet_over_when_they_are(wait):
    assert retry_after(wait) == wait + 1
