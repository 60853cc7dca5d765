"""A plugin written from docs/plugins.md alone, loaded by import path into a real app."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from secureml import ConfigError, Problem
from secureml.corridor import loader
from secureml.testing import Harness

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
HOUR = 3600


@pytest.fixture
def hours(monkeypatch):
    """The plugin as an operator names it."""
    monkeypatch.syspath_prepend(HERE)
    return loader.find(["acme_hours:OpeningHours"])[0]


def test_it_is_the_plugin_of_the_page():
    """To the letter: whoever copies the page gets what is tested here."""
    page = (CHECKOUT / "docs" / "plugins.md").read_text("utf-8")

    assert re.search(r"```python\n(.*?)```", page, re.DOTALL)[1] == (
        HERE / "acme_hours.py"
    ).read_text("utf-8")


def test_it_is_closed_at_night(tmp_path, hours):
    """As the page's own test says."""
    harness = Harness(tmp_path)
    plugin = harness.build(hours, {"closes": 20})

    with pytest.raises(Problem):
        plugin.limit(harness.exchange("POST", "/v1/models/m/predict"))
    harness.clock.advance(9 * HOUR)
    plugin.limit(harness.exchange("POST", "/v1/models/m/predict"))


def test_its_refusal_is_a_problem_with_its_own_code(tmp_path, hours):
    """At the real door of a real app; observed, it lets through."""
    harness = Harness(tmp_path)
    night = harness.app([harness.load(hours)]).test_client()
    tried = harness.app([harness.load(hours, {"mode": "observe"})]).test_client()

    answer = night.get("/healthz")
    assert (answer.status_code, answer.json["code"]) == (503, "opening_hours.closed")
    assert tried.get("/healthz").status_code == 200


@pytest.mark.parametrize("table", [{"opens": "8"}, {"opens": 24}, {"opend": 8}])
def test_its_table_is_checked_at_the_start(tmp_path, hours, table):
    """With the words of the schema it declares."""
    with pytest.raises(ConfigError, match=r"\[plugins.opening_hours\] open"):
        Harness(tmp_path).load(hours, table)


def test_it_is_clean_by_the_projects_own_gates(tmp_path):
    """An author who copies it starts with nothing to mend."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", CHECKOUT / "pyproject.toml",
         "--cache-dir", tmp_path, HERE / "acme_hours.py"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
