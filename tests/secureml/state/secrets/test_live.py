"""A secret in use: the new value, for a while the old one, and an end to trust."""

from __future__ import annotations

from math import inf
from timeit import repeat

import pytest

from secureml.kit.secrets import SecretUnavailable
from secureml.state.secrets.live import LiveSecret, RefreshPolicy
from secureml.state.secrets.value import Reading, Secret
from secureml.testing import Clock


class Fed(LiveSecret):
    """Adopts what it is told, as a subclass does after it has looked."""

    def feed(self, value):
        self._adopt(Secret(value), self._monotonic())

    def fail(self, why):
        self._failed(why)


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def live(clock):
    return Fed(
        "file:x", Reading(Secret(b"one"), None), RefreshPolicy(overlap=600, max_age=3600), clock
    )


def test_what_cannot_change_serves_for_ever(live, clock):
    """A variable of the environment does not age while the process lives."""
    clock.advance(10**9)

    assert live.current() == Secret(b"one")


def test_both_values_match_until_the_overlap_ends(live, clock):
    """Two sides need not change in the same instant."""
    live.feed(b"two")

    assert live.current() == Secret(b"two")
    assert live.matches_any(b"two")
    clock.advance(599.9)
    assert live.matches_any(b"one")
    clock.advance(0.1)
    assert not live.matches_any(b"one")
    assert live.matches_any(b"two")


def test_only_one_value_is_remembered(live):
    """Rotating twice is how a leaked value is put out at once."""
    live.feed(b"two")
    live.feed(b"three")

    assert not live.matches_any(b"one")
    assert live.matches_any(b"two")


def test_reading_the_same_value_again_is_no_rotation(live, clock):
    """The overlap of an earlier one goes on to its own end."""
    live.feed(b"two")
    clock.advance(300)
    live.feed(b"two")

    assert live.matches_any(b"one")
    clock.advance(300)
    assert not live.matches_any(b"one")


def test_without_overlap_the_old_value_is_gone_at_once(clock):
    """For those who want it so."""
    live = Fed("file:x", Reading(Secret(b"one"), None), RefreshPolicy(overlap=0), clock)
    live.feed(b"two")

    assert not live.matches_any(b"one")


@pytest.mark.parametrize("offered", [b"", b"on", b"onee", b"ONE", b"one\n", b"\xff"])
def test_nothing_else_matches(live, offered):
    """Least of all the empty word before there was a previous value."""
    assert not live.matches_any(offered)


def test_a_value_nobody_confirmed_for_too_long_is_refused(live, clock):
    """Fail closed: it may have been taken back a day ago."""
    live.feed(b"two")
    clock.advance(3600)
    assert live.matches_any(b"two")
    clock.advance(0.1)

    with pytest.raises(SecretUnavailable):
        live.current()
    with pytest.raises(SecretUnavailable):
        live.matches_any(b"two")


def test_an_outage_is_logged_once_and_its_end_lets_the_next_be_logged(live, caplog):
    """A log that repeats itself is not read."""
    live.fail("away")
    live.fail("away")
    assert [record.levelname for record in caplog.records] == ["WARNING"]

    live.feed(b"two")
    live.fail("away")
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2
    assert b"two".decode() not in caplog.text


def test_asking_costs_less_than_two_microseconds():
    """It stands in the way of every request; the least of many runs is the cost itself."""
    live = LiveSecret("env:X", Reading(Secret(b"x" * 43), None), RefreshPolicy(), lambda: 0.0)

    assert min(repeat(live.current, number=2000, repeat=20)) / 2000 < 2e-6
    assert live._due == inf
