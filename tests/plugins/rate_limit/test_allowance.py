"""Sentences that say how much, and those that say nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from limits import parse

from plugins.rate_limit.allowance import AT_ONCE, month, read


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
def test_a_rate_is_what_the_library_reads_from_its_notation(text, amount, seconds):
    found = read(text)
    item = parse(found.notation)
    assert (found.amount, found.seconds) == (amount, seconds)
    assert (item.amount, item.get_expiry()) == (amount, seconds)


def test_at_once_has_no_time():
    found = read("8 at once")
    assert (found.form, found.amount, found.notation, found.lasting) == (AT_ONCE, 8, "", False)


@pytest.mark.parametrize(
    ("text", "lasting"),
    [("5 ever", True), ("5 per calendar month", True), ("5 per day", True), ("5 per hour", False)],
)
def test_what_takes_a_day_or_more_must_outlive_a_restart(text, lasting):
    assert read(text).lasting is lasting


@pytest.mark.parametrize(
    "text",
    ["", "0 per minute", "-1 per minute", "1000", "1000 per fortnight", "1 per minute; 5 per day",
     "1e3 per minute", "2000 at once", "10000000000000 per day", "5 per 0 seconds", "many"],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"say it|most"):
        read(text)


def test_a_month_ends_when_the_next_begins():
    name, ends = month(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    assert name == "2026-12"
    assert ends == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
