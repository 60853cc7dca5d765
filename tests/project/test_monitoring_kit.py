"""The monitoring kit: it asks for metrics that there are, and the board can be drawn."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
KIT = CHECKOUT / "deploy" / "monitoring"
README = (CHECKOUT / "plugins" / "metrics" / "README.md").read_text("utf-8")
BOARD: dict[str, Any] = json.loads((KIT / "dashboard.json").read_text("utf-8"))
RULES = (KIT / "secureml.rules.yml").read_text("utf-8")
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
# Grafana's own names for units; one that it does not know is drawn as text.
UNITS = {"percentunit", "reqps", "ops", "Bps", "s", "short", "none"}


def documented() -> set[str]:
    """Return the metrics of the page, with what Prometheus makes of a histogram."""
    found = set(re.findall(r"`([a-z_]+)`", README.split("## Metrics")[1].split("## Codes")[0]))
    return found | {f"{name}_{end}" for name in found for end in ("bucket", "sum", "count")}


def named(text: str) -> set[str]:
    return set(re.findall(r"secureml_([a-z_]+)", text))


@pytest.mark.parametrize("name", ["dashboard.json", "secureml.rules.yml"])
def test_every_metric_it_asks_for_is_documented(name: str) -> None:
    asked = named((KIT / name).read_text("utf-8"))
    assert len(asked) > 10
    assert asked - documented() == set()


def test_every_metric_that_is_documented_is_on_the_board() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", README.split("## Metrics")[1], re.MULTILINE)
    emitted = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    on_board = {re.sub(r"_(bucket|sum|count)$", "", n) for n in named(json.dumps(BOARD))}
    by_choice = {name for name in emitted if name.startswith("client_")}  # `clients` is off
    assert emitted - on_board - by_choice == set()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_can_be_drawn_and_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"timeseries", "stat", "table"}
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target.get("instant") or target.get("range")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_the_servers_that_were_chosen(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        metrics = re.findall(r"(?:secureml_\w+|up)\{([^}]*)\}", target["expr"])
        assert len(metrics) == len(re.findall(r"secureml_\w+|\bup\b", target["expr"]))
        assert all('instance=~"$instance"' in labels for labels in metrics)


def test_the_variables_are_those_that_are_used() -> None:
    made = {variable["name"] for variable in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"])))
    assert used - {"__rate_interval"} == made


def test_no_panel_covers_another() -> None:
    taken = {}
    for panel in BOARD["panels"]:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        assert 0 <= x <= x + w <= 24
        taken[panel["id"]] = {(a, b) for a in range(x, x + w) for b in range(y, y + h)}
    assert len(taken) == len(BOARD["panels"])
    assert not any(one & other for one, other in combinations(taken.values(), 2))


def test_every_alert_is_on_the_page_with_its_severity() -> None:
    page = (CHECKOUT / "docs" / "monitoring.md").read_text("utf-8")
    alerts = re.findall(r"- alert: (\w+)\n(?:.*\n)*?\s+labels: \{severity: (\w+)\}", RULES)
    assert len(alerts) == RULES.count("- alert:")
    assert [
        f"| `{name}` | {word} |" for name, word in alerts if f"| `{name}` | {word} |" not in page
    ] == []


def test_every_alert_says_what_to_do() -> None:
    assert RULES.count("action:") == RULES.count("summary:") == RULES.count("- alert:")
