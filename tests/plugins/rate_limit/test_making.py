"""Tables that make rules, and tables that stop the start."""

from __future__ import annotations

import pytest

from plugins.rate_limit.plugin import RateLimit
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


def test_names_are_made_and_numbered(tmp_path):
    found = build(
        tmp_path,
        {"for": "client", "allow": "5 per minute"},
        {"for": "client", "allow": "50 per hour"},
        {"for": "tier:gold", "allow": "5 per minute", "unit": "rows"},
        {"for": "everyone", "allow": "8 at once", "name": "crowd"},
        defaults=False,
    )
    assert list(sources(found)) == ["client", "client-2", "tier-rows", "crowd"]


def test_what_lasts_a_day_is_counted_in_one_window_unless_said(tmp_path):
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
        ({"for": "client", "allow": "lots"}, "say it like 1000 per minute"),
        ({"for": "client", "allow": 5}, "say it like"),
        ({"for": "client", "allow": "5 per minute", "unit": "bytes"}, "limits.0.unit"),
        ({"for": "client", "allow": "5 per minute", "unit": "failures"}, "limits.0.unit"),
        ({"for": "client", "allow": "5 at once", "unit": "rows"}, "limits.0.unit"),
        ({"for": "address", "allow": "5 per day"}, "limits.0.allow"),
        ({"for": "client", "allow": "5 ever", "strategy": "moving-window"}, "limits.0.strategy"),
        ({"for": "client", "allow": "5 per minute", "strategy": "token-bucket"}, "strategy"),
        ({"for": "client", "allow": "5 per minute", "when_store_fails": "pray"}, "store_fails"),
        ({"for": "client", "allow": "5 per minute", "name": "A b"}, "limits.0.name"),
        ({"for": "client", "allow": "5 per minute", "model": "../x"}, "limits.0.model"),
        ({"for": "client", "allow": "5 per minute", "per": "x"}, "limits.0.per"),
    ],
)
def test_a_limit_that_could_not_hold_stops_the_start_and_names_its_key(tmp_path, limit, said):
    with pytest.raises(ConfigError) as refused:
        build(tmp_path, limit)
    assert said.lower() in str(refused.value).lower()


def test_the_same_limit_twice_would_count_twice_and_stops_the_start(tmp_path):
    limit = {"for": "client", "allow": "5 per minute"}
    with pytest.raises(ConfigError, match="twice"):
        build(tmp_path, limit, limit)
    with pytest.raises(ConfigError, match="two limits are named"):
        build(
            tmp_path, limit | {"name": "x"}, {"for": "address", "allow": "5 per hour", "name": "x"}
        )
