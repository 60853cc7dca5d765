"""Bans by counting refusals, with a store that comes and goes."""

from __future__ import annotations

from secureml import StoreUnavailable


def test_a_store_that_is_away_lifts_no_ban_that_is_known(desk, monkeypatch):
    one = desk({"for": "client", "allow": "1 per minute"}, ban_after=1)
    one.passed(5)
    backoff, bans = one.plugin._backoff, one.plugin._bans
    assert backoff.left("client:acme") > 0

    def away():
        raise StoreUnavailable("gone")

    monkeypatch.setattr(bans, "current", away)
    assert backoff.left("client:acme") > 0
    assert backoff.left("client:other") == 0


def test_a_store_that_is_away_bans_nobody_and_the_refusal_stands(desk, monkeypatch):
    one = desk({"for": "client", "allow": "1 per minute"}, ban_after=1)

    def away(*words):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(one.plugin._bans, "add", away)
    assert one.passed(5) == 1
    assert one.ask()[0].code == "rate_limited"


def test_everyone_together_cannot_be_banned(desk):
    one = desk({"for": "everyone", "allow": "1 per minute"}, ban_after=1)
    assert one.passed(20) == 1
    assert one.ask()[0].code == "rate_limited"
    assert one.plugin._bans.list() == []


def test_an_address_is_banned_at_the_first_phase(desk):
    one = desk({"for": "address", "allow": "1 per minute"}, ban_after=1)
    one.passed(5, client=None)
    assert one.ask(client=None)[0].code == "rate_limit.banned"
    assert [ban.subject for ban in one.plugin._bans.list()] == ["address:192.0.2.1"]
