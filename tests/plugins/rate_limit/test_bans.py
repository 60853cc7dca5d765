"""Bans grow, end, are forgotten, and are seen by everyone who shares the store."""

from __future__ import annotations

import pytest

from plugins.rate_limit import bans as module
from plugins.rate_limit.bans import Bans, Terms
from secureml.testing import Harness

TERMS = Terms(60.0, 300.0, 3600.0)


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def bans(harness):
    return Bans(harness.store, harness.clock, TERMS)


def test_each_ban_is_twice_the_one_before_up_to_the_longest(bans, harness):
    found = []
    for _ in range(5):
        ban = bans.add("client:acme", "client")
        found.append((ban.level, ban.until - ban.since))
        harness.clock.advance(ban.until - ban.since)
    assert found == [(1, 60), (2, 120), (3, 240), (4, 300), (5, 300)]


def test_after_quiet_the_next_is_the_first_again(bans, harness):
    bans.add("client:acme", "client")
    harness.clock.advance(60 + 3600)
    assert bans.add("client:acme", "client").level == 1


def test_who_is_banned_is_not_banned_again(bans):
    assert bans.add("client:acme", "client")
    assert bans.add("client:acme", "client") is None


def test_another_worker_sees_a_ban_and_its_end_at_once(bans, harness):
    other = Bans(harness.store, harness.clock, TERMS)
    assert other.current() == {}
    ban = bans.add("address:192.0.2.1", "address")
    assert other.current() == {"address:192.0.2.1": ban.until}
    assert bans.lift("address:192.0.2.1")
    assert other.current() == {}
    assert not bans.lift("address:192.0.2.1")


def test_the_list_shows_what_holds_and_on_request_what_is_remembered(bans, harness):
    bans.add("client:old", "client")
    harness.clock.advance(100)
    bans.add("client:new", "client")
    assert [ban.subject for ban in bans.list()] == ["client:new"]
    assert [ban.subject for ban in bans.list(past=True)] == ["client:new", "client:old"]


def test_a_crowd_of_strangers_does_not_fill_the_store(bans, harness, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    for n in range(30):
        harness.clock.advance(1)
        bans.add(f"address:192.0.2.{n}", "address")
    found = [ban.subject for ban in bans.list(past=True)]
    assert len(found) == 10
    assert found[0] == "address:192.0.2.29"
