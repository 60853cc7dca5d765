"""The table itself: what fits a key and what does not."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.rate_limit.settings import Config, TargetField


@pytest.mark.parametrize(
    "table",
    [
        {"counters": "../outside.db"}, {"counters": ""}, {"counters": "a\0b"}, {"budgets": 5},
        {"max_size": "1KiB"}, {"storage_timeout": 0}, {"storage_timeout": 60},
        {"degrade_divisor": 0},
        {"costs": [{"model": "m", "weight": 0}]},
        {"costs": {"m": 1}}, {"exempt_networks": ["10.0.0.1/8"]}, {"ban_initial": "soon"},
        {"redis": "http://x"}, {"redis": "redis://:password@host"}, {"redis_password": "hunter2"},
        {"defaults": "yes"}, {"ban_after": -1}, {"limit": []},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(table):
    with pytest.raises(ValidationError):
        Config().load(table)


@pytest.mark.parametrize("path", ["counters.db", "store/counters.db", "/run/secureml/counters.db"])
def test_counters_may_lie_in_the_instance_or_on_a_tmpfs(path):
    assert Config().load({"counters": path})["counters"] == path


@pytest.mark.parametrize("url", ["", "redis://h:1/0", "rediss://h", "redis+unix:///run/r.sock"])
def test_a_redis_is_named_by_a_url_without_its_password(url):
    assert Config().load({"redis": url})["redis"] == url


def test_the_defaults_are_those_of_the_manual():
    found = Config().load({})
    assert (found["counters"], found["budgets"]) == ("counters.db", "budgets.db")
    assert (found["storage_timeout"], found["degrade_divisor"]) == (0.25, 8)
    assert (found["ban_after"], found["ban_initial"], found["ban_max"]) == (100, 60.0, 3600.0)
    assert (found["max_size"], found["ban_reset"]) == (64 * 1024 * 1024, 86400.0)
    assert found["defaults"] is True


def test_a_limit_says_how_it_fails_and_refuses_if_it_does_not():
    (found,) = Config().load({"limits": [{"for": "client", "allow": "5 per minute"}]})["limits"]
    assert (found["on_storage_failure"], found["unit"], found["strategy"]) == (
        "refuse", "requests", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    "old",
    ["busy", "size", "uncounted", "degraded_share", "ban_first", "ban_longest", "ban_forget"],
)
def test_an_unknown_key_is_refused(old):
    with pytest.raises(ValidationError):
        Config().load({old: 1})


@pytest.mark.parametrize(
    ("value", "references"),
    [("client:acme", [("client", "acme")]), ("tier:gold", [("tier", "gold")]), ("client", []),
     ("address", []), ("everyone", []), (5, [])],
)  # fmt: skip
def test_a_target_refers_to_the_client_or_tier_it_names(value, references):
    assert TargetField().refers(value) == references


@pytest.mark.parametrize("mode", ["refuse", "degrade", "allow"])
def test_every_failure_mode_may_be_named(mode):
    limit = {"for": "client", "allow": "5 per minute", "on_storage_failure": mode}
    (found,) = Config().load({"limits": [limit]})["limits"]
    assert found["on_storage_failure"] == mode


def test_an_allowance_that_cannot_be_read_says_how_to_write_one():
    with pytest.raises(ValidationError) as refused:
        Config().load({"limits": [{"for": "client", "allow": "a lot"}]})
    assert "Write it like 1000 per minute" in str(refused.value)
