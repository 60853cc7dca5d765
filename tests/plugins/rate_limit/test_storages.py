"""Where counters are kept, by the settings."""

from __future__ import annotations

import builtins
import sys

import pytest

from plugins.rate_limit.settings import Config
from plugins.rate_limit.storages import places
from secureml import ConfigError
from secureml.testing import Harness


def of(tmp_path, **table):
    return places(Config().load(table), Harness(tmp_path).host("rate_limit"))


def test_files_by_default_the_lasting_one_without_a_capacity(tmp_path):
    quick, lasting = of(tmp_path)
    assert quick.url == f"sqlite+counters://{tmp_path}/counters.db"
    assert lasting.url == f"sqlite+counters://{tmp_path}/budgets.db"
    assert lasting.options["capacity"] == 0


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    assert of(tmp_path, counters="/run/x/c.db")[0].url == "sqlite+counters:///run/x/c.db"


def test_a_redis_keeps_both_and_is_tried_once(tmp_path):
    pytest.importorskip("redis")
    quick, lasting = of(tmp_path, redis="redis+unix:///run/r.sock", busy=0.1)
    assert quick is lasting
    assert quick.options["socket_timeout"] == 0.1
    assert quick.options["retry"].get_retries() == 0


def test_its_password_is_read_at_the_start_and_again_at_each_connection(tmp_path):
    pytest.importorskip("redis")
    secret = tmp_path / "redis"
    secret.write_text("first")
    secret.chmod(0o600)
    quick, _ = of(tmp_path, redis="redis://h", redis_password="file:redis")
    assert quick.options["credential_provider"].get_credentials() == ("first",)
    with pytest.raises(ConfigError) as refused:
        of(tmp_path, redis="redis://h", redis_password="file:gone")
    assert refused.value.key == "redis_password"


def test_without_its_client_the_start_stops_with_the_line_that_mends_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *words, **more):
        if name.partition(".")[0] == "redis":
            raise ImportError("no", name="redis")
        return real(name, *words, **more)

    monkeypatch.delitem(sys.modules, "plugins.rate_limit.redis_place", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="redis") as refused:
        of(tmp_path, redis="redis://h")
    assert "flask-limiter[redis]" in refused.value.fix
