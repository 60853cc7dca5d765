"""Which limits hold for whom."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.rate_limit.allowance import read
from plugins.rate_limit.rules import Asker, Rule, address_key, holding


def rule(name, whom, allow="10 per minute", who="", route="", model="", unit="requests"):
    return Rule(name, whom, who, route, model, unit, read(allow), "fixed-window", "refuse", "test")


ACME = Asker("192.0.2.1", "acme", "gold", "/v1/models/<model>/predict", "iris")


def names(rules, asker=ACME):
    return [claim.rule.name for claim in holding(rules, asker)]


def test_the_most_special_limit_for_a_caller_holds():
    rules = [
        rule("all", "client"),
        rule("gold", "tier", who="gold"),
        rule("acme", "client", who="acme"),
    ]
    assert names(rules) == ["acme"]
    assert names(rules, ACME._replace(client="other")) == ["gold"]
    assert names(rules, ACME._replace(client="other", tier="iron")) == ["all"]
    assert names(rules, Asker("192.0.2.1")) == []


def test_limits_about_other_things_hold_beside_it():
    rules = [
        rule("rows", "client", unit="rows"),
        rule("model", "client", model="iris"),
        rule("acme", "client", who="acme"),
        rule("slots", "client", allow="2 at once"),
        rule("address", "address"),
        rule("everyone", "everyone"),
    ]
    assert set(names(rules)) == {r.name for r in rules}


def test_several_windows_of_one_kind_hold_and_the_shortest_is_first():
    rules = [rule("day", "client", "9 per day"), rule("second", "client", "5 per second"),
             rule("ever", "client", "99 ever"), rule("slots", "client", "2 at once")]  # fmt: skip
    assert names(rules) == ["slots", "second", "day", "ever"]


def test_a_route_and_a_model_that_are_named_must_fit():
    rules = [rule("r", "client", route="/x"), rule("m", "client", model="other")]
    assert names(rules) == []
    assert names(rules, ACME._replace(route="/x", model="other")) == ["r", "m"]


def test_each_model_by_itself_has_a_counter_of_its_own():
    each = rule("each", "client", model="*")
    one, two = (holding([each], ACME._replace(model=name))[0].key for name in ("a", "b"))
    assert one != two
    assert names([each], ACME._replace(model="")) == []


def test_an_ipv6_subscriber_is_one_caller():
    assert address_key("2001:db8:1:2:3::4") == address_key("2001:db8:1:2:ffff::1")
    assert address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") == "192.0.2.1"


def test_no_address_is_one_caller_and_not_nobody():
    assert address_key("") == address_key("junk") == "unknown"


def test_uncounted_networks_have_no_key():
    networks = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    assert address_key("127.0.0.1", networks) == address_key("::1", networks) == ""
    assert address_key("192.0.2.1", networks)


@given(st.ip_addresses())
def test_every_address_has_a_key_that_is_its_own_key(address):
    key = address_key(str(address))
    assert key
    assert address_key(key.partition("/")[0]) == key


@pytest.mark.parametrize("client", ["acme", "a.b", "x-1"])
def test_a_claim_names_its_subject(client):
    (claim,) = holding([rule("all", "client")], ACME._replace(client=client))
    assert claim.subject == client
