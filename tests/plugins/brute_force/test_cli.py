"""The commands speak to people and to scripts."""

from __future__ import annotations

import json

from click.testing import CliRunner

from plugins.brute_force.cli import group
from plugins.brute_force.failure_store import Wait


class FailureStore:
    """Waits that were counted elsewhere."""

    def list(self):
        return [Wait("address:192.0.2.1", 21, 1_767_225_660.0)]

    def lift(self, subject):
        return subject == "address:192.0.2.1"


def ask(*words):
    events = []
    return CliRunner().invoke(group(FailureStore(), events.append), list(words)), events


def test_scripts_read_json_and_people_a_line():
    done, _ = ask("list", "--json")
    assert json.loads(done.output) == [
        {"subject": "address:192.0.2.1", "failures": 21, "until": "2026-01-01T00:01:00Z"}
    ]
    done, _ = ask("list")
    assert "address:192.0.2.1" in done.output


def test_a_lift_is_told_and_one_of_nothing_is_not():
    done, events = ask("lift", "address:192.0.2.1")
    assert (done.exit_code, [event.name for event in events]) == (0, ["authn_login_lifted"])
    done, events = ask("lift", "nobody")
    assert (done.exit_code, events) == (1, [])
