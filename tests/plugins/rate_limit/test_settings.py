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


def limit(**words):
    """Return one limit as the schema loads it."""
    words = {"for": "client", "allow": "5 per minute"} | words
    (found,) = Config().load({"limits": [words]})["limits"]
    return found


def refused(**words):
    """Return what is said of one limit, by key."""
    with pytest.raises(ValidationError) as error:
        limit(**words)
    return error.value.messages["limits"][0]


@pytest.mark.parametrize(
    "target",
    ["address", "everyone", "client", "client:acme", "tier:gold", "client:a.b_c-d:e",
     "client:" + "a" * 64],
)  # fmt: skip
def test_a_limit_is_for_callers_addresses_or_everyone(target):
    assert limit(**{"for": target})["for"] == target


@pytest.mark.parametrize(
    "target",
    ["", "clients", "Client", "client:", "client:-acme", "client:a b", "client:a\n", "client\n",
     "tier:gold tier:silver", "address:192.0.2.7 ", "client:" + "a" * 65, 5, None, ["client"]],
)  # fmt: skip
def test_any_other_target_is_refused_at_its_key(target):
    assert list(refused(**{"for": target})) == ["for"]


def test_a_limit_without_a_target_or_an_amount_is_refused_for_both():
    with pytest.raises(ValidationError) as error:
        Config().load({"limits": [{}]})
    assert set(error.value.messages["limits"][0]) == {"for", "allow"}


@pytest.mark.parametrize("unit", ["requests", "rows", "failures"])
def test_what_is_counted_is_one_of_three_units(unit):
    assert limit(unit=unit)["unit"] == unit
    assert list(refused(unit=unit.upper())) == ["unit"]


@pytest.mark.parametrize("name", ["fixed-window", "moving-window", "sliding-window-counter", ""])
def test_a_strategy_is_named_as_the_library_names_it(name):
    assert limit(strategy=name)["strategy"] == name


@pytest.mark.parametrize("name", ["secureml-fixed-window", "fixed", "sliding-window", None, 1])
def test_the_name_under_which_a_strategy_is_registered_is_not_the_operators(name):
    assert list(refused(strategy=name)) == ["strategy"]


@pytest.mark.parametrize("model", ["", "*", "churn", "big-forest.v2", "a" * 63])
def test_a_limit_is_for_all_models_each_or_one(model):
    assert limit(model=model)["model"] == model


@pytest.mark.parametrize("model", ["**", "a*", ".churn", "a/b", "churn\n", "a" * 64, 5])
def test_what_is_no_model_is_refused_at_its_key(model):
    assert list(refused(model=model)) == ["model"]


@pytest.mark.parametrize("name", ["", "a", "daily-rows", "a" * 32])
def test_a_limit_may_be_named_for_clients_to_read(name):
    assert limit(name=name)["name"] == name


@pytest.mark.parametrize("name", ["A", "1a", "a_b", 'a";r=1', "a\r\nX: y", "a\n", "a" * 33])
def test_attack_a_name_that_would_end_its_header_field_is_refused(name):
    assert list(refused(name=name)) == ["name"]


@pytest.mark.parametrize(
    "table",
    [
        {"max_size": "1MiB"}, {"max_size": "16GiB"}, {"storage_timeout": 0.01},
        {"storage_timeout": 5}, {"degrade_divisor": 1}, {"degrade_divisor": 10_000},
        {"ban_after": 0}, {"ban_initial": "1s"}, {"ban_max": "365d"}, {"ban_reset": "60s"},
        {"costs": [{"model": "m", "weight": 1}]}, {"costs": [{"model": "m", "weight": 1_000_000}]},
        {"exempt_networks": []}, {"exempt_networks": ["10.0.0.0/8", "2001:db8::/32"]},
    ],
)  # fmt: skip
def test_what_is_at_a_bound_is_accepted(table):
    Config().load(table)


@pytest.mark.parametrize(
    "table",
    [
        {"max_size": "17GiB"}, {"storage_timeout": 5.01}, {"degrade_divisor": 10_001},
        {"ban_after": 1_000_001}, {"ban_after": True}, {"ban_initial": "0s"}, {"ban_max": "366d"},
        {"ban_reset": "59s"}, {"costs": [{"model": "m", "weight": 1_000_001}]},
        {"costs": [{"model": "m", "weight": True}]}, {"costs": [{"model": "m"}]},
        {"costs": [{"weight": 1}]}, {"costs": [{"model": "", "weight": 1}]},
        {"exempt_networks": "127.0.0.1/32"}, {"exempt_networks": ["localhost"]},
        {"redis": "redis://host\n"}, {"redis": "redis://a b"}, {"redis": "memcached://h"},
    ],
)  # fmt: skip
def test_what_is_beyond_a_bound_is_refused_at_its_key(table):
    with pytest.raises(ValidationError) as error:
        Config().load(table)
    assert list(error.value.messages) == list(table)


@pytest.mark.parametrize("path", ["a/../b.db", "..", "a?b", "a#b", "a" * 4001, None, ["a"]])
def test_attack_a_path_that_leads_out_or_ends_early_is_refused(path):
    """`?` and `#` would end the path in the URI of the storage."""
    for key in ("counters", "budgets"):
        with pytest.raises(ValidationError):
            Config().load({key: path})


def test_all_files_that_sqlite_and_the_locks_write_are_claimed_beside_the_counters():
    counters, budgets = (Config().fields[key].writes for key in ("counters", "budgets"))
    assert set(counters.beside) - set(budgets.beside) == {".concurrency", ".failures"}
    assert {"-wal", "-shm"} <= set(budgets.beside)


def test_networks_of_one_table_are_not_those_of_another():
    first, second = Config().load({}), Config().load({})
    first["exempt_networks"].append("0.0.0.0/0")
    assert second["exempt_networks"] == ["127.0.0.1/32", "::1/128"]
