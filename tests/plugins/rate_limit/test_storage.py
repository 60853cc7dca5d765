"""The limits as Flask-Limiter holds them, and the storages that the settings name."""

from __future__ import annotations

import importlib

import limits.strategies
import pytest
from flask import Flask
from limits.storage import MemoryStorage

from plugins.rate_limit import storage as storage_module
from plugins.rate_limit.rules import Rule, parse_allowance
from plugins.rate_limit.settings import Config
from plugins.rate_limit.sqlite_storage import SQLiteStorage
from plugins.rate_limit.storage import (
    LimiterRegistry,
    StorageConfig,
    sqlite_config,
    storage_configs,
)
from plugins.rate_limit.strategies import STRATEGIES, registered_name
from secureml import ConfigError
from secureml.testing import Clock, Harness


def rule(name, allow, strategy="fixed-window"):
    allowance = parse_allowance(allow)
    return Rule(name, "client", "", "", "", "requests", allowance, strategy, "refuse", "test")


def registry(tmp_path, *rules):
    clock = Clock()
    configs = [
        sqlite_config(tmp_path / f"{name}.db", clock=clock, timeout=0.2)
        for name in ("ephemeral", "durable")
    ]
    return LimiterRegistry(rules, *configs, lambda rule: lambda: rule.name)


def test_the_item_that_flask_limiter_parsed_is_what_is_hit(tmp_path):
    rules = rule("a", "5 per 2 minutes"), rule("b", "7 per day")
    found = registry(tmp_path, *rules)
    assert [str(found.items[one]) for one in rules] == ["5 per 2 minute", "7 per 1 day"]


def test_durable_limits_are_in_a_file_of_their_own(tmp_path):
    short, long = rule("a", "5 per minute"), rule("b", "7 per day")
    found = registry(tmp_path, short, long)
    assert found.strategy(short).storage.path.name == "ephemeral.db"
    assert found.strategy(long).storage.path.name == "durable.db"
    assert len(found.storages()) == 2


def test_without_durable_limits_their_file_is_not_needed(tmp_path):
    (only,) = registry(tmp_path, rule("a", "5 per minute")).storages()
    assert only.path.name == "ephemeral.db"


def test_without_any_rule_the_ephemeral_storage_is_still_checked(tmp_path):
    (only,) = registry(tmp_path).storages()
    assert only.check()
    only.close()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_limiter_of_a_flask_limiter_decides(tmp_path, strategy):
    """In the library's own words, on the storage of ours that its URI names."""
    one = rule("a", "2 per minute", strategy)
    found = registry(tmp_path, one)
    limiter = found.limiter(strategy, durable=False)
    assert limiter.limiter is found.strategy(one)
    assert isinstance(limiter.limiter, STRATEGIES[strategy])
    assert isinstance(limiter.storage, SQLiteStorage)
    item = found.items[one]
    assert limiter.limiter.test(item, "k")
    assert [limiter.limiter.hit(item, "k") for _ in range(3)] == [True, True, False]
    assert limiter.limiter.get_window_stats(item, "k").remaining == 0
    limiter.limiter.clear(item, "k")
    assert limiter.limiter.hit(item, "k")
    found.close()


def test_strategies_are_registered_beside_the_librarys_own():
    for name, made in STRATEGIES.items():
        assert limits.strategies.STRATEGIES[registered_name(name)] is made
        assert limits.strategies.STRATEGIES[name] is not made
        assert limits.strategies.STRATEGIES[name].__module__ == "limits.strategies"


def test_all_strategies_over_a_file_share_one_connection(tmp_path):
    rules = [rule(name, "5 per minute", name) for name in STRATEGIES]
    found = registry(tmp_path, *rules)
    connections = {id(found.strategy(one).storage.connection) for one in rules}
    sweepers = {id(found.strategy(one).storage.sweeper) for one in rules}
    assert len(connections) == len(sweepers) == 1
    assert all(found.strategy(one).hit(found.items[one], "k") for one in rules)
    found.close()


def test_it_works_without_an_app_and_is_shown_to_one_without_hooks(tmp_path):
    short, long = rule("a", "5 per minute"), rule("b", "7 per day", "moving-window")
    found = registry(tmp_path, short, long)
    assert found.strategy(short).hit_with_stats(found.items[short], "k").remaining == 4
    app = Flask("x")
    found.attach(app)
    assert len(app.extensions["limiter"]) == 2
    assert not app.before_request_funcs
    assert not app.after_request_funcs
    assert not app.teardown_request_funcs
    assert found.strategy(short).hit_with_stats(found.items[short], "k").remaining == 3
    found.close()


def test_a_limiter_names_the_rules_of_its_strategy(tmp_path):
    rules = rule("a", "5 per minute"), rule("b", "6 per hour"), rule("c", "9 ever")
    found = registry(tmp_path, *rules)
    short = found.limiter("fixed-window", durable=False).limit_manager.application_limits
    long = found.limiter("fixed-window", durable=True).limit_manager.application_limits
    assert [str(one.limit) for one in short] == ["5 per 1 minute", "6 per 1 hour"]
    assert [str(one.limit) for one in long] == ["9 per 100 year"]


def test_any_storage_of_the_library_can_be_named(tmp_path):
    one = rule("a", "2 per minute", "moving-window")
    memory = StorageConfig("memory://", {})
    found = LimiterRegistry([one], memory, memory, lambda rule: lambda: "")
    assert isinstance(found.strategy(one).storage, MemoryStorage)
    hits = [found.strategy(one).hit_with_stats(found.items[one], "k").allowed for _ in range(3)]
    assert hits == [True, True, False]
    found.close()


# -- storages by the settings ------------------------------------------------------------------


def configured(tmp_path, **table):
    return storage_configs(Config().load(table), Harness(tmp_path).host("rate_limit"))


def test_files_by_default_the_durable_one_without_a_capacity(tmp_path):
    ephemeral, durable = configured(tmp_path)
    assert ephemeral.uri == f"sqlite+counters://{tmp_path}/counters.db"
    assert durable.uri == f"sqlite+counters://{tmp_path}/budgets.db"
    assert "capacity" not in ephemeral.options
    assert durable.options["capacity"] == 0


def test_the_settings_bound_the_file_and_the_wait(tmp_path):
    ephemeral, durable = configured(tmp_path, max_size="2MiB", storage_timeout=0.5)
    assert ephemeral.options["size"] == 2 * 1024 * 1024
    assert durable.options["size"] == storage_module.DURABLE_SIZE
    assert ephemeral.options["timeout"] == durable.options["timeout"] == 0.5


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    ephemeral, _ = configured(tmp_path, counters="/run/x/c.db")
    assert ephemeral.uri == "sqlite+counters:///run/x/c.db"


def test_a_path_with_characters_of_uris_is_the_same_path_again(tmp_path):
    config = sqlite_config(tmp_path / "a b%20#?c.db")
    assert SQLiteStorage(config.uri).path == tmp_path / "a b%20#?c.db"


def test_one_file_for_both_stops_the_start(tmp_path):
    with pytest.raises(ConfigError, match="both kept in") as refused:
        configured(tmp_path, counters="a.db", budgets="a.db")
    assert (refused.value.key, "different file" in refused.value.fix) == ("budgets", True)


def test_a_redis_keeps_both_and_is_tried_once(tmp_path):
    pytest.importorskip("redis")
    uri = "redis+unix:///run/r.sock"
    ephemeral, durable = configured(tmp_path, redis=uri, storage_timeout=0.1)
    assert ephemeral is durable
    assert ephemeral.uri == uri
    assert ephemeral.options["socket_timeout"] == 0.1
    assert ephemeral.options["socket_connect_timeout"] == 0.1
    assert ephemeral.options["retry"].get_retries() == 0


def test_the_password_of_a_redis_is_read_again_at_each_connection(tmp_path):
    redis = pytest.importorskip("redis")
    password = ["first"]
    config = storage_module.redis_config("redis://h", timeout=1.0, password=lambda: password[0])
    provider = config.options["credential_provider"]
    assert isinstance(provider, redis.credentials.CredentialProvider)
    assert provider.get_credentials() == ("first",)
    password[0] = "second"
    assert provider.get_credentials() == ("second",)
    password[0] = None
    with pytest.raises(redis.exceptions.AuthenticationError):
        provider.get_credentials()


def test_the_password_of_a_redis_is_read_at_the_start(tmp_path):
    pytest.importorskip("redis")
    secret = tmp_path / "redis"
    secret.write_text("first")
    secret.chmod(0o600)
    config, _ = configured(tmp_path, redis="redis://h", redis_password="file:redis")
    assert config.options["credential_provider"].get_credentials() == ("first",)
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, redis="redis://h", redis_password="file:gone")
    assert refused.value.key == "redis_password"


def test_without_the_redis_client_the_start_stops_with_the_command_that_installs_it(
    tmp_path, monkeypatch
):
    def without(name):
        if name.partition(".")[0] == "redis":
            raise ImportError("no", name="redis")
        return importlib.import_module(name)

    monkeypatch.setattr(storage_module, "import_module", without)
    with pytest.raises(ConfigError, match="redis") as refused:
        configured(tmp_path, redis="redis://h")
    assert refused.value.fix == "script/extras redis"
