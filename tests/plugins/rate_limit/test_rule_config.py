"""Rules from tables, and tables that stop the start."""

from __future__ import annotations

import pytest

from plugins.rate_limit.plugin import RateLimit
from plugins.rate_limit.rule_config import ban_rule
from secureml import ConfigError
from secureml.testing import Harness


def build(tmp_path, *limits, **table):
    return Harness(tmp_path).build(RateLimit, {"limits": [*limits], **table})


def sources(plugin):
    return {rule.name: rule.source for rule in plugin.rules}


def test_a_limit_of_the_same_kind_replaces_a_default_and_another_does_not(tmp_path):
    of_model = {"for": "client", "allow": "5 per minute", "model": "iris"}
    both = build(tmp_path, of_model)
    assert list(sources(both).values()).count("default") == 2
    replaced = build(tmp_path, {"for": "client", "allow": "5 per minute"})
    assert sources(replaced) == {
        "client": "[[plugins.rate_limit.limits]] 1",
        "address-failures": "default",
    }
    assert sources(build(tmp_path, defaults=False)) == {}


def test_names_are_generated_and_numbered(tmp_path):
    found = build(
        tmp_path,
        {"for": "client", "allow": "5 per minute"},
        {"for": "client", "allow": "50 per hour"},
        {"for": "tier:gold", "allow": "5 per minute", "unit": "rows"},
        {"for": "everyone", "allow": "8 at once", "name": "crowd"},
        defaults=False,
    )
    assert list(sources(found)) == ["client", "client-2", "tier-rows", "crowd"]


def test_the_default_strategy_of_a_day_or_more_is_the_fixed_window(tmp_path):
    found = build(
        tmp_path,
        {"for": "client", "allow": "5 per minute"},
        {"for": "client", "allow": "5 per day"},
        {"for": "client", "allow": "6 per day", "strategy": "moving-window"},
        defaults=False,
    )
    assert [rule.strategy for rule in found.rules] == [
        "sliding-window-counter", "fixed-window", "moving-window",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"for": "tier", "allow": "5 per minute"}, "limits.0.for"),
        ({"for": "address:192.0.2.1", "allow": "5 per minute"}, "limits.0.for"),
        ({"for": "everyone:acme", "allow": "5 per minute"}, "limits.0.for"),
        ({"for": "somebody", "allow": "5 per minute"}, "limits.0.for"),
        ({"for": "client"}, "limits.0.allow"),
        ({"allow": "5 per minute"}, "limits.0.for"),
        ({"for": "client", "allow": "lots"}, "write it like 1000 per minute"),
        ({"for": "client", "allow": 5}, "write it like"),
        ({"for": "client", "allow": "5 per minute", "unit": "bytes"}, "limits.0.unit"),
        ({"for": "client", "allow": "5 per minute", "unit": "failures"}, "limits.0.unit"),
        ({"for": "client", "allow": "5 at once", "unit": "rows"}, "limits.0.unit"),
        ({"for": "address", "allow": "5 per day"}, "limits.0.allow"),
        ({"for": "client", "allow": "5 ever", "strategy": "moving-window"}, "limits.0.strategy"),
        ({"for": "client", "allow": "5 per minute", "strategy": "token-bucket"}, "strategy"),
        ({"for": "client", "allow": "5 per minute", "on_storage_failure": "pray"}, "limits.0.on_s"),
        ({"for": "client", "allow": "5 per minute", "name": "A b"}, "limits.0.name"),
        ({"for": "client", "allow": "5 per minute", "model": "../x"}, "limits.0.model"),
        ({"for": "client", "allow": "5 per minute", "per": "x"}, "limits.0.per"),
    ],
)
def test_a_limit_that_cannot_work_stops_the_start_and_names_its_key(tmp_path, limit, said):
    with pytest.raises(ConfigError) as refused:
        build(tmp_path, limit)
    assert said.lower() in str(refused.value).lower()


def test_the_same_limit_twice_stops_the_start(tmp_path):
    limit = {"for": "client", "allow": "5 per minute"}
    with pytest.raises(ConfigError, match="twice"):
        build(tmp_path, limit, limit)
    with pytest.raises(ConfigError, match="two limits are named"):
        build(
            tmp_path, limit | {"name": "x"}, {"for": "address", "allow": "5 per hour", "name": "x"}
        )


@pytest.mark.parametrize(
    ("limit", "key", "message", "fix"),
    [
        ({"for": "tier", "allow": "5 per minute"}, "for", "must name the tier", "tier:NAME"),
        ({"for": "everyone:x", "allow": "5 per minute"}, "for", "not have a name", '"everyone"'),
        ({"for": "client", "allow": "5 per minute", "unit": "failures"}, "unit",
         "only be counted by address", '"address"'),
        ({"for": "client", "allow": "5 at once", "unit": "rows"}, "unit",
         "counts requests, not rows", "remove unit"),
        ({"for": "address", "allow": "5 per day"}, "allow", "a day or more", "some hours"),
        ({"for": "client", "allow": "5 ever", "strategy": "moving-window"}, "strategy",
         "has no rolling window", "remove strategy"),
        ({"for": "client", "allow": "5 per calendar month",
          "strategy": "sliding-window-counter"}, "strategy", "no rolling window", "fixed-window"),
    ],
)  # fmt: skip
def test_a_message_says_what_is_wrong_where_and_the_fix(tmp_path, limit, key, message, fix):
    other = {"for": "everyone", "allow": "9 per minute"}
    with pytest.raises(ConfigError) as refused:
        build(tmp_path, other, limit)
    assert refused.value.key == f"limits.1.{key}"
    assert message in refused.value.message
    assert fix in refused.value.fix


def test_a_generated_name_that_is_taken_gets_a_number(tmp_path):
    found = build(
        tmp_path,
        {"for": "client", "allow": "5 per minute"},
        {"for": "client", "allow": "6 per minute", "route": "/x"},
        {"for": "client", "allow": "7 per minute", "model": "m"},
        defaults=False,
    )
    assert list(sources(found)) == ["client", "client-2", "client-3"]


def test_a_default_gets_another_name_than_a_configured_limit(tmp_path):
    found = build(tmp_path, {"for": "client", "allow": "5 per minute", "model": "iris"})
    assert list(sources(found)) == ["client", "address-failures", "client-2"]


def test_a_refusal_is_counted_by_a_rule_that_fails_open_and_has_no_headers(tmp_path):
    found = ban_rule(100)
    assert (found.allowance.amount, found.allowance.seconds) == (100, 60)
    assert (found.on_storage_failure, found.target) == ("allow", "")
    assert ban_rule(0) is None
    assert found not in build(tmp_path).rules


def test_the_defaults_degrade_and_so_refuse_nobody_while_the_storage_fails(tmp_path):
    found = build(tmp_path).rules
    assert {rule.on_storage_failure for rule in found} == {"degrade"}
    assert {rule.source for rule in found} == {"default"}
