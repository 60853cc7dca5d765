"""The table itself: what fits a key and what does not."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.rate_limit.settings import Config


@pytest.mark.parametrize(
    "table",
    [
        {"counters": "../outside.db"}, {"counters": ""}, {"counters": "a\0b"}, {"budgets": 5},
        {"size": "1KiB"}, {"busy": 0}, {"busy": 60}, {"degraded_share": 0},
        {"costs": [{"model": "m", "weighs": 0}]},
        {"costs": {"m": 1}}, {"uncounted": ["10.0.0.1/8"]}, {"ban_first": "soon"},
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
