"""Bans: they grow, end, are forgotten, are shared, and survive a store that is unavailable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.rate_limit import penalty as module
from plugins.rate_limit.penalty import BanList, BanPolicy
from secureml import StoreUnavailable
from secureml.testing import Harness

CHECKOUT = Path(__file__).resolve().parents[3]
POLICY = BanPolicy(60.0, 300.0, 3600.0)


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def bans(harness):
    return BanList(harness.store, harness.clock, POLICY)


def test_each_ban_is_twice_as_long_as_the_one_before_up_to_the_maximum(bans, harness):
    found = []
    for _ in range(5):
        ban = bans.add("client:acme", "client")
        found.append((ban.level, ban.until - ban.since))
        harness.clock.advance(ban.until - ban.since)
    assert found == [(1, 60), (2, 120), (3, 240), (4, 300), (5, 300)]


@given(st.integers(1, 100_000), st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_duration_is_between_the_first_and_the_maximum_whatever_the_level(level, first, extra):
    policy = BanPolicy(first, first + extra, 60.0)
    assert policy.initial <= policy.duration(level) <= policy.maximum
    assert policy.duration(level) <= policy.duration(level + 1)


def test_after_the_reset_time_the_next_ban_is_a_first_one_again(bans, harness):
    bans.add("client:acme", "client")
    harness.clock.advance(60 + 3600)
    assert bans.add("client:acme", "client").level == 1


def test_a_moment_before_the_reset_time_it_is_the_second(bans, harness):
    bans.add("client:acme", "client")
    harness.clock.advance(60 + 3599)
    assert bans.add("client:acme", "client").level == 2


def test_a_banned_subject_is_not_banned_again(bans):
    assert bans.add("client:acme", "client")
    assert bans.add("client:acme", "client") is None


def test_a_ban_of_one_subject_is_none_of_another(bans):
    bans.add("client:acme", "client")
    assert bans.add("client:other", "client").level == 1
    assert set(bans.current()) == {"client:acme", "client:other"}


def test_another_worker_sees_a_ban_and_its_end_at_once(bans, harness):
    other = BanList(harness.store, harness.clock, POLICY)
    assert other.current() == {}
    ban = bans.add("address:192.0.2.1", "address")
    assert other.current() == {"address:192.0.2.1": ban.until}
    assert bans.lift("address:192.0.2.1")
    assert other.current() == {}
    assert not bans.lift("address:192.0.2.1")


def test_after_lifting_the_next_ban_is_a_first_one(bans, harness):
    bans.add("client:acme", "client")
    harness.clock.advance(60)
    bans.add("client:acme", "client")
    bans.lift("client:acme")
    assert bans.add("client:acme", "client").level == 1


def test_the_list_shows_current_bans_and_on_request_past_ones(bans, harness):
    bans.add("client:old", "client")
    harness.clock.advance(100)
    bans.add("client:new", "client")
    assert [ban.subject for ban in bans.list()] == ["client:new"]
    assert [ban.subject for ban in bans.list(past=True)] == ["client:new", "client:old"]


def test_a_ban_survives_the_process_that_made_it(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from plugins.rate_limit.penalty import BanList, BanPolicy\n"
        "from secureml.testing import Harness\n"
        "h = Harness(Path(sys.argv[1]))\n"
        "BanList(h.store, h.clock, BanPolicy()).add('client:acme', 'client')\n"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, cwd=CHECKOUT, check=False).returncode == -9
    after = Harness(tmp_path)
    assert list(BanList(after.store, after.clock, POLICY).current()) == ["client:acme"]
    after.store.close()


def test_many_addresses_do_not_fill_the_store(bans, harness, monkeypatch):
    monkeypatch.setattr(module, "MAX_BANS", 10)
    for n in range(30):
        harness.clock.advance(1)
        bans.add(f"address:192.0.2.{n}", "address")
    found = [ban.subject for ban in bans.list(past=True)]
    assert len(found) == 10
    assert found[0] == "address:192.0.2.29"


def test_to_make_room_forgotten_bans_go_first(bans, harness):
    bans.add("client:old", "client")
    harness.clock.advance(60 + 3601)
    bans.add("client:new", "client")
    assert [ban.subject for ban in bans.list(past=True)] == ["client:new"]


# -- bans that follow refusals -----------------------------------------------------------------


def unavailable(*args):
    raise StoreUnavailable("gone")


def test_an_unavailable_store_lifts_no_known_ban(limited, monkeypatch):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)
    penalty, bans = one.plugin._penalty, one.plugin._bans
    assert penalty.seconds_left("client:acme") > 0
    monkeypatch.setattr(bans, "current", unavailable)
    assert penalty.seconds_left("client:acme") > 0
    assert penalty.seconds_left("client:other") == 0


def test_an_unavailable_store_bans_nobody_and_the_refusal_stands(limited, monkeypatch, caplog):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=1)
    monkeypatch.setattr(one.plugin._bans, "add", unavailable)
    assert one.passed(5) == 1
    assert one.send()[0].code == "rate_limited"
    assert "client:acme could not be banned: gone" in caplog.text


def test_everyone_together_cannot_be_banned(limited):
    one = limited({"for": "everyone", "allow": "1 per minute"}, ban_after=1)
    assert one.passed(20) == 1
    assert one.send()[0].code == "rate_limited"
    assert one.plugin._bans.list() == []


def test_an_address_is_banned_before_credentials_are_checked(limited):
    one = limited({"for": "address", "allow": "1 per minute"}, ban_after=1)
    one.passed(5, client=None)
    assert one.send(client=None)[0].code == "rate_limit.banned"
    assert [ban.subject for ban in one.plugin._bans.list()] == ["address:192.0.2.1"]


@pytest.mark.parametrize("after", [1, 3, 10])
def test_a_ban_comes_with_the_refusal_after_the_number_that_is_set(limited, after):
    one = limited({"for": "client", "allow": "1 per minute"}, ban_after=after)
    codes = [one.send()[0] for _ in range(after + 3)]
    assert codes[0] is None
    assert [problem.code for problem in codes[1 : after + 2]] == ["rate_limited"] * (after + 1)
    assert codes[-1].code == "rate_limit.banned"


def test_refusals_are_forgotten_after_their_minute(limited):
    one = limited({"for": "client", "allow": "1 per hour"}, ban_after=3)
    one.passed(1)
    for _ in range(5):
        assert one.passed(3) == 0
        one.clock.advance(61)
    assert one.plugin._bans.list(past=True) == []


def test_refusals_for_concurrency_ban_nobody(limited):
    """They are over in milliseconds, and a client that retries at once is no attacker."""
    one = limited({"for": "client", "allow": "1 at once"}, ban_after=1)
    one.before_view(held := one.exchange())
    assert one.passed(10) == 0
    assert one.plugin._bans.list() == []
    one.after_view(held)


def test_the_ban_names_the_limit_that_was_exceeded(limited):
    one = limited({"for": "client", "allow": "1 per minute", "name": "burst"}, ban_after=1)
    one.passed(5)
    assert [ban.reason for ban in one.plugin._bans.list()] == ["burst"]
