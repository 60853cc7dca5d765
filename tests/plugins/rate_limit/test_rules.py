"""Which limits apply to a request, and under which key each is counted."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.rate_limit.rules import (
    ADDRESS,
    CLIENT,
    EACH_MODEL,
    EVERYONE,
    TIER,
    UNKNOWN_ADDRESS,
    RequestFacts,
    Rule,
    address_key,
    apply_rule,
    matching,
    parse_allowance,
)
from secureml.testing import Clock


def rule(
    name, target, allow="10 per minute", target_name="", route="", model="", unit="requests",
    strategy="fixed-window",
):  # fmt: skip
    allowance = parse_allowance(allow)
    return Rule(
        name, target, target_name, route, model, unit, allowance, strategy, "refuse", "test"
    )


ACME = RequestFacts("192.0.2.1", "acme", "gold", "/v1/models/<model>/predict", "iris")


def names(rules, facts=ACME):
    return [applied.rule.name for applied in matching(rules, facts)]


def key(one, facts=ACME):
    return apply_rule(one, facts).key


def test_the_most_specific_limit_for_a_caller_applies():
    rules = [
        rule("all", CLIENT),
        rule("gold", TIER, target_name="gold"),
        rule("acme", CLIENT, target_name="acme"),
    ]
    assert names(rules) == ["acme"]
    assert names(rules, ACME._replace(client="other")) == ["gold"]
    assert names(rules, ACME._replace(client="other", tier="iron")) == ["all"]
    assert names(rules, RequestFacts("192.0.2.1")) == []


def test_limits_with_another_scope_apply_beside_it():
    rules = [
        rule("rows", CLIENT, unit="rows"),
        rule("model", CLIENT, model="iris"),
        rule("acme", CLIENT, target_name="acme"),
        rule("concurrency", CLIENT, allow="2 at once"),
        rule("address", ADDRESS),
        rule("everyone", EVERYONE),
    ]
    assert set(names(rules)) == {one.name for one in rules}


def test_a_specific_limit_replaces_all_windows_of_the_general_ones():
    rules = [
        rule("second", CLIENT, "5 per second"),
        rule("day", CLIENT, "900 per day"),
        rule("acme", CLIENT, "50 per second", target_name="acme"),
    ]
    assert names(rules) == ["acme"]


def test_several_windows_of_one_kind_apply_and_the_shortest_is_first():
    rules = [
        rule("day", CLIENT, "9 per day"),
        rule("second", CLIENT, "5 per second"),
        rule("ever", CLIENT, "99 ever"),
        rule("concurrency", CLIENT, "2 at once"),
    ]
    assert names(rules) == ["concurrency", "second", "day", "ever"]


def test_a_route_and_a_model_that_are_named_must_match():
    rules = [rule("r", CLIENT, route="/x"), rule("m", CLIENT, model="other")]
    assert names(rules) == []
    assert names(rules, ACME._replace(route="/x", model="other")) == ["r", "m"]


def test_each_model_separately_has_a_key_of_its_own():
    each = rule("each", CLIENT, model=EACH_MODEL)
    one, two = (matching([each], ACME._replace(model=name))[0].key for name in ("a", "b"))
    assert one != two
    assert names([each], ACME._replace(model="")) == []


TARGETS = st.sampled_from(
    [(ADDRESS, ""), (EVERYONE, ""), (CLIENT, ""), (CLIENT, "acme"), (CLIENT, "other"),
     (TIER, "gold"), (TIER, "iron")]
)  # fmt: skip
RULES = st.lists(
    st.builds(
        lambda target, route, model, unit, allow: rule(
            "", target[0], allow, target[1], route, model, unit
        ),
        TARGETS,
        st.sampled_from(["", "/a", "/b"]),
        st.sampled_from(["", "m", EACH_MODEL]),
        st.sampled_from(["requests", "rows"]),
        st.sampled_from(["1 per minute", "2 per hour", "3 at once", "4 ever"]),
    ),
    max_size=12,
)
FACTS = st.builds(
    RequestFacts,
    st.sampled_from(["", "192.0.2.1"]),
    st.sampled_from(["", "acme", "other", "third"]),
    st.sampled_from(["gold", "iron", "tin"]),
    st.sampled_from(["/a", "/c"]),
    st.sampled_from(["", "m", "n"]),
)


def model_applies(one, facts):
    """The manual's words about one rule, without the others."""
    target = {
        ADDRESS: facts.address != "",
        EVERYONE: True,
        CLIENT: facts.client != "" and one.target_name in ("", facts.client),
        TIER: facts.client != "" and one.target_name == facts.tier,
    }[one.target]
    route = one.route in ("", facts.route)
    model = facts.model != "" if one.model == EACH_MODEL else one.model in ("", facts.model)
    return target and route and model


def model_specificity(one):
    return ["client", "tier:", "client:"].index(f"{one.target}:" if one.target_name else one.target)


@given(RULES, FACTS)
def test_what_applies_is_what_the_manual_says(rules, facts):
    found = [applied.rule for applied in matching(rules, facts)]
    for one in rules:
        rivals = [
            other
            for other in rules
            if model_applies(other, facts)
            and other.target in (CLIENT, TIER)
            and other.scope == one.scope
        ]
        replaced = one.target in (CLIENT, TIER) and any(
            model_specificity(other) > model_specificity(one) for other in rivals
        )
        assert (one in found) == (model_applies(one, facts) and not replaced)


@given(RULES, FACTS)
def test_windows_never_get_shorter_along_the_list(rules, facts):
    allowances = [applied.rule.allowance for applied in matching(rules, facts)]
    lengths = [
        -1 if one.kind == "concurrency" else (one.seconds or float("inf")) for one in allowances
    ]
    assert lengths == sorted(lengths)


@given(FACTS, FACTS)
def test_two_callers_share_a_key_only_where_the_limit_is_for_everyone(one, two):
    by_client, together = rule("c", CLIENT), rule("e", EVERYONE)
    assert (key(by_client, one) == key(by_client, two)) == (one.client == two.client)
    assert key(together, one) == key(together, two)


def test_what_is_counted_differently_has_another_key():
    """A change of the configuration never finds counts of another shape or meaning."""
    rules = [
        rule("a", CLIENT),
        rule("b", CLIENT, unit="rows"),
        rule("c", CLIENT, route="/x"),
        rule("d", CLIENT, model="iris"),
        rule("e", CLIENT, strategy="moving-window"),
        rule("f", ADDRESS),
        rule("g", EVERYONE),
    ]
    assert len({key(one) for one in rules}) == len(rules)


def test_a_client_that_changes_its_tier_keeps_its_counts():
    of_tier = rule("t", TIER, target_name="gold")
    assert key(of_tier) == key(of_tier, ACME._replace(tier="iron"))
    assert key(of_tier) == key(rule("c", CLIENT))


@pytest.mark.parametrize(
    ("target", "subject"),
    [(CLIENT, "client:acme"), (TIER, "client:acme"), (ADDRESS, "address:192.0.2.1"),
     (EVERYONE, "")],
)  # fmt: skip
def test_a_subject_is_whom_the_limit_counts(target, subject):
    assert apply_rule(rule("r", target), ACME).subject == subject


@pytest.mark.parametrize("client", ["acme", "a.b", "x-1"])
def test_an_applied_limit_names_its_identity(client):
    (applied,) = matching([rule("all", CLIENT)], ACME._replace(client=client))
    assert applied.identity == client


def test_only_a_calendar_month_changes_its_key_with_the_time():
    clock = Clock()
    monthly = apply_rule(rule("m", CLIENT, "5 per calendar month"), ACME)
    other = apply_rule(rule("o", CLIENT, "5 per 30 days"), ACME)
    first = monthly.key_at(clock())
    clock.advance(31 * 86400)
    assert monthly.key_at(clock()) != first
    assert other.key_at(clock()) == other.key


# -- addresses ---------------------------------------------------------------------------------


def test_an_ipv6_subscriber_is_one_caller():
    assert address_key("2001:db8:1:2:3::4") == address_key("2001:db8:1:2:ffff::1")
    assert address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") == "192.0.2.1"
    assert address_key("fe80::1%eth0") == address_key("fe80::1")


def test_no_address_is_one_caller_named_unknown():
    assert address_key("") == address_key("junk") == UNKNOWN_ADDRESS == "unknown"


def test_exempt_networks_have_no_key():
    networks = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    assert address_key("127.0.0.1", networks) == address_key("::1", networks) == ""
    assert address_key("::ffff:127.0.0.1", networks) == "", "the same host by another notation"
    assert address_key("192.0.2.1", networks)
    assert address_key("junk", networks) == UNKNOWN_ADDRESS


@given(st.ip_addresses())
def test_every_address_has_a_key_that_is_its_own_key(address):
    found = address_key(str(address))
    assert found
    assert address_key(found.partition("/")[0]) == found


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_no_host_part_changes_the_key_of_an_ipv6_address(address, host):
    neighbour = IPv6Address(int(address) >> 64 << 64 | host)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert address_key(str(address)) == address_key(str(neighbour))


def test_attack_a_limit_on_a_route_counts_those_that_share_it_under_the_same_key():
    """Else what it allows could be had again by another way to ask the model."""
    one = rule("predict", CLIENT, route="/v1/models/<model>/predict")
    sharing = ACME._replace(route="/v2/other", shared_route="/v1/models/<model>/predict")
    assert names([one], sharing) == ["predict"]
    assert key(one, sharing) == key(one)
    assert names([one], ACME._replace(route="/v2/other")) == []
    own = rule("own", CLIENT, route="/v2/other")
    assert names([own], sharing) == ["own"]
