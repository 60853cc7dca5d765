"""Allowances as they are written, and texts that are none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse

from plugins.rate_limit.rules import CONCURRENCY, calendar_month, parse_allowance


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("1000 per minute", 1000, 60),
        ("10 per 30 seconds", 10, 30),
        ("1_000_000 per day", 1_000_000, 86400),
        ("5 per 2 hours", 5, 7200),
        ("3 per second", 3, 1),
    ],
)
def test_the_library_parses_the_same_rate_from_the_notation(text, amount, seconds):
    found = parse_allowance(text)
    item = parse(found.notation)
    assert (found.amount, found.seconds) == (amount, seconds)
    assert (item.amount, item.get_expiry()) == (amount, seconds)


def test_a_concurrency_limit_has_no_window():
    found = parse_allowance("8 at once")
    assert (found.kind, found.amount, found.notation, found.durable) == (CONCURRENCY, 8, "", False)


@pytest.mark.parametrize(
    ("text", "durable"),
    [("5 ever", True), ("5 per calendar month", True), ("5 per day", True), ("5 per hour", False)],
)
def test_a_window_of_a_day_or_more_is_durable(text, durable):
    assert parse_allowance(text).durable is durable


@pytest.mark.parametrize(
    "text",
    ["", "0 per minute", "-1 per minute", "1000", "1000 per fortnight", "1 per minute; 5 per day",
     "1e3 per minute", "2000 at once", "10000000000000 per day", "5 per 0 seconds", "many"],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"write it|most"):
        parse_allowance(text)


def test_a_month_ends_when_the_next_begins():
    name, ends = calendar_month(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    assert name == "2026-12"
    assert ends == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@given(
    st.integers(1, 10**12),
    st.integers(1, 99_999),
    st.sampled_from(["second", "minute", "hour", "day"]),
    st.booleans(),
)
def test_whatever_rate_is_accepted_the_library_counts_the_same(amount, multiple, unit, plural):
    found = parse_allowance(f"{amount} per {multiple} {unit}{'s' * plural}")
    item = parse(found.notation)
    assert (item.amount, item.get_expiry()) == (found.amount, found.seconds)
    assert found.amount == amount
    assert found.durable == (found.seconds >= 86400)


@given(st.text(max_size=30))
def test_any_text_is_an_allowance_or_a_value_error(text):
    try:
        found = parse_allowance(text)
    except ValueError as error:
        assert str(error)
    else:
        assert found.amount >= 1
        assert found.text == text


@given(st.integers(0, 7_258_118_400))
def test_a_month_holds_the_moment_and_ends_within_31_days(now):
    """From 1970 to 2200."""
    name, ends = calendar_month(now)
    assert name == f"{datetime.fromtimestamp(now, UTC):%Y-%m}"
    assert now < ends <= now + 31 * 86400
    assert calendar_month(ends)[0] != name
    assert calendar_month(ends - 0.001)[0] == name
