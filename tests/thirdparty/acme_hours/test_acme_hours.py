"""The tests its author would write, with nothing but ``secureml`` and ``secureml.testing``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from acme_hours import OpeningHours

from secureml import ConfigError, Exchange, Plugin, Principal, Problem
from secureml.testing import START, Clock, Harness

HOUR = 3600


class Everybody(Plugin):
    """Names each caller, so that a route which is not public can be reached."""

    name = "everybody"

    def identify(self, exchange: Exchange) -> Principal | None:
        return Principal(
            "acme", "acme", frozenset({"models:read"}), frozenset({"*"}), "", "everybody", ""
        )


def at(hour: float, folder: Path) -> Harness:
    return Harness(folder, Clock(START + hour * HOUR))


def ask(harness: Harness, table: Mapping[str, Any] | None = None) -> None:
    plugin = harness.build(OpeningHours, table)
    plugin.limit(harness.exchange("POST", "/v1/models/m/predict"))


@pytest.mark.parametrize("hour", [0, 7.99, 18, 23.99])
def test_outside_the_hours_it_refuses_with_its_own_code(hour: float, tmp_path: Path) -> None:
    with pytest.raises(Problem) as refused:
        ask(at(hour, tmp_path))
    assert refused.value.code == "opening_hours.closed"
    assert refused.value.reason == f"opening_hours.hour:{int(hour)}"


@pytest.mark.parametrize("hour", [8, 12, 17.99])
def test_within_the_hours_it_says_nothing(hour: float, tmp_path: Path) -> None:
    ask(at(hour, tmp_path))


def test_the_operators_hours_are_the_ones_that_count(tmp_path: Path) -> None:
    ask(at(23.5, tmp_path), {"opens": 23, "closes": 24})


@pytest.mark.parametrize("table", [{"closes": "20"}, {"opens": 24}, {"closed": 20}])
def test_a_table_that_cannot_work_stops_the_start(table: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.opening_hours"):
        Harness(tmp_path).load(OpeningHours, table)


def test_in_a_real_pipeline_the_refusal_is_worded_by_the_application(tmp_path: Path) -> None:
    harness = at(3, tmp_path)
    caller = harness.app([harness.load(Everybody), harness.load(OpeningHours)]).test_client()
    refused = caller.get("/v1/models")
    assert (refused.status_code, refused.json["code"]) == (503, "opening_hours.closed")
    harness.clock.advance(9 * HOUR)
    assert caller.get("/v1/models").json == {"models": []}


def test_who_watches_over_the_server_is_answered_at_night(tmp_path: Path) -> None:
    harness = at(3, tmp_path)
    caller = harness.app([harness.load(OpeningHours)]).test_client()
    assert caller.get("/healthz").status_code == 200


def test_observed_it_lets_everybody_through(tmp_path: Path) -> None:
    harness = at(3, tmp_path)
    hours = harness.load(OpeningHours, {"mode": "observe"})
    caller = harness.app([harness.load(Everybody), hours]).test_client()
    assert caller.get("/v1/models").status_code == 200
