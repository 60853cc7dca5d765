"""What an operator types: learn, look, let in again."""

from __future__ import annotations

import json
import stat

import pytest
from click.testing import CliRunner

from plugins.anomaly.bars import Bar
from plugins.anomaly.baseline import LEAST, Baseline
from plugins.anomaly.ledger import Standing
from plugins.anomaly.plugin import Anomaly
from plugins.anomaly.window import Window
from secureml.testing import Harness

WHO = "address:192.0.2.1"


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def guard(harness):
    return harness.build(Anomaly)


@pytest.fixture
def ask(guard):
    def typed(*words):
        return CliRunner().invoke(guard.commands(), [*words, "--json"])

    return typed


def live(guard, windows):
    """Have this many windows of customers been counted."""
    guard._ledger.write(
        {("client:a", 60.0 * n): Window(requests=20 + n % 7, rows=40) for n in range(windows)}
    )


def test_training_writes_what_the_next_start_reads(harness, guard, ask):
    live(guard, LEAST + 5)
    done = ask("train", "--false-alarms", "0.01")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["windows"] == LEAST + 5
    file = harness.folder / "anomaly" / "baseline.json"
    found = Baseline.from_json(file.read_text())
    assert (found.false_alarms, found.made) == (0.01, harness.clock())
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["baseline.json"]
    assert harness.build(Anomaly)._baseline is not None


def test_quiet_windows_are_not_learned_from(guard, ask):
    guard._ledger.write({("client:a", 60.0 * n): Window(requests=9) for n in range(LEAST + 5)})
    done = ask("train")
    assert done.exit_code == 1
    assert "too few" in done.stderr


def test_a_share_of_false_alarms_is_a_share(ask):
    assert ask("train", "--false-alarms", "2").exit_code == 2


def stand(guard, harness):
    guard._ledger.lease("one", 60)
    reasons = [["missing", 1.0, 0.0, 0.01]]
    with guard._ledger.begin() as connection:
        guard._ledger.settle(
            connection,
            "one",
            harness.clock() + 60,
            [
                Standing(WHO, harness.clock(), 0.81, 3, reasons),
                Standing("client:good", harness.clock(), 0.4, 0, []),
            ],
        )
        why = "missing 1.00, when it was banned"
        guard._bars.set(connection, Bar(WHO, "ban", 0.0, harness.clock() + 60, why), 0.0)


def test_the_list_holds_who_is_unusual_and_nobody_else(harness, guard, ask):
    assert json.loads(ask("list").output) == []
    stand(guard, harness)
    [row] = json.loads(ask("list").output)
    assert (row["subject"], row["state"], row["streak"]) == (WHO, "ban", 3)
    assert row["why"] == "missing 1.00, when it was banned"
    assert row["until"] == "2026-01-01T00:01:00Z"


def test_one_subject_is_shown_with_its_reasons(harness, guard, ask):
    stand(guard, harness)
    assert json.loads(ask("show", WHO).output)["reasons"] == [["missing", 1.0, 0.0, 0.01]]
    assert json.loads(ask("show", "client:good").output)["state"] == "usual"
    assert ask("show", "client:nobody").exit_code == 1


def test_whom_the_operator_lets_in_is_in_and_that_is_told(harness, guard, ask):
    stand(guard, harness)
    assert json.loads(ask("lift", WHO).output) == {"lifted": WHO}
    guard.admit(harness.exchange(address="192.0.2.1"))
    assert [event.name for event in harness.emitted] == ["anomaly_lifted"]
    assert ask("lift", WHO).exit_code == 1


def test_people_read_lines(harness, guard):
    asked = CliRunner().invoke(guard.commands(), ["list"])
    assert "not trained yet" in asked.output
    stand(guard, harness)
    asked = CliRunner().invoke(guard.commands(), ["list"])
    assert asked.output.startswith(WHO)
