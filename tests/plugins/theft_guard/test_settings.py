from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.theft_guard.assessor import ALL, BLOCK, CLIENT
from plugins.theft_guard.plugin import TheftGuard
from plugins.theft_guard.settings import Config, policy_for
from secureml import ConfigError
from secureml.testing import Harness


def test_a_block_is_never_held_and_everyone_only_flagged():
    table = Config().load({"actions": ["coarsen", "hold"], "budget": 9})
    client, block, everyone = (
        policy_for(table, kind, lambda low, high: low) for kind in (CLIENT, BLOCK, ALL)
    )

    assert client.levels == ("watched", "flag", "coarsen", "hold")
    assert block.levels == ("watched", "flag", "coarsen")
    assert everyone.levels == ("watched", "flag")
    assert (client.budget, block.budget) == (9, 0)


@pytest.mark.parametrize(
    "table",
    [{"actions": ["throttle", "coarsen"]}, {"threshold": 1.0}, {"coarsening": "none"}, {"word": 1}],
)
def test_what_makes_no_sense_is_refused(table):
    with pytest.raises(ValidationError):
        Config().load(table)


WRONG = [
    ("threshold", 2.999),
    ("threshold", 100.1),
    ("threshold", "12"),
    ("actions", ["throttle", "coarsen"]),
    ("actions", ["hold", "hold"]),
    ("actions", ["shout"]),
    ("actions", "coarsen"),
    ("coarsening", "none"),
    ("delay", 1),
    ("delay", 100_001),
    ("delay", 2.5),
    ("pause", "0s"),
    ("pause", "2d"),
    ("pause", "soon"),
    ("budget", -1),
    ("budget", True),
    ("budget_window", "59s"),
    ("budget_window", "3661d"),
    ("exempt_clients", [1]),
    ("max_clients", 7),
    ("max_clients", 100_001),
    ("file", "../outside"),
    ("file", "/etc/passwd"),
    ("tresholt", 12.0),
]


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_setting_stops_the_start_with_table_key_and_fix(harness, key, value):
    with pytest.raises(ConfigError) as stopped:
        harness.build(TheftGuard, {key: value})
    fault = stopped.value

    assert fault.table == "plugins.theft_guard"
    assert fault.key.split(".")[0] == key
    assert fault.fix
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 3.0),
        ("threshold", 100.0),
        ("actions", []),
        ("actions", ["coarsen", "hold"]),
        ("delay", 2),
        ("delay", 100_000),
        ("pause", "1s"),
        ("pause", "1d"),
        ("budget", 0),
        ("budget", 2**40),
        ("budget_window", "60s"),
        ("max_clients", 8),
        ("file", "store/other.table"),
    ],
)
def test_settings_at_their_bounds_are_taken(harness, key, value):
    harness.build(TheftGuard, {key: value}).close()


def test_without_a_table_of_settings_it_coarsens_and_throttles_and_holds_nobody():
    client = policy_for(Config().load({}), CLIENT, lambda low, high: low)
    assert client.levels == ("watched", "flag", "coarsen", "throttle")
    assert (client.threshold, client.delay, client.pause, client.budget) == (12.0, 40, 5.0, 0)
    assert client.window == 30 * 86_400
