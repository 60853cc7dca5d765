"""What an operator types: train, list, show, lift."""

from __future__ import annotations

import json
import stat

import pytest
from click.testing import CliRunner

from plugins.anomaly.baseline import MIN_WINDOWS, Baseline
from plugins.anomaly.blocks import Block
from plugins.anomaly.plugin import Anomaly
from plugins.anomaly.window import Window
from plugins.anomaly.window_store import SubjectScore
from secureml.testing import Harness

WHO = "address:192.0.2.1"


@pytest.fixture
def harness(tmp_path):
    found = Harness(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def plugin(harness):
    return harness.build(Anomaly)


@pytest.fixture
def ask(plugin):
    def typed(*words):
        return CliRunner().invoke(plugin.commands(), [*words, "--json"])

    return typed


def live(plugin, windows):
    """Have this many windows of customers been counted."""
    plugin._window_store.write(
        {("client:a", 60.0 * n): Window(requests=20 + n % 7, rows=40) for n in range(windows)}
    )


def test_training_writes_what_the_next_start_reads(harness, plugin, ask):
    live(plugin, MIN_WINDOWS + 5)
    done = ask("train", "--false-alarms", "0.01")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["windows"] == MIN_WINDOWS + 5
    file = harness.folder / "anomaly" / "baseline.json"
    found = Baseline.from_json(file.read_text())
    assert (found.false_alarms, found.trained_at) == (0.01, harness.clock())
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["baseline.json"]
    assert harness.build(Anomaly)._baseline is not None


def test_quiet_windows_are_not_trained_on(plugin, ask):
    quiet = {("client:a", 60.0 * n): Window(requests=9) for n in range(MIN_WINDOWS + 5)}
    plugin._window_store.write(quiet)
    done = ask("train")
    assert done.exit_code == 1
    assert "too few" in done.stderr


def test_a_share_of_false_alarms_is_a_share(ask):
    assert ask("train", "--false-alarms", "2").exit_code == 2


def store_scores(plugin, harness):
    plugin._window_store.lease("one", 60)
    reasons = [["missing", 1.0, 0.0, 0.01]]
    with plugin._window_store.begin() as connection:
        plugin._window_store.save_scores(
            connection,
            "one",
            harness.clock() + 60,
            [
                SubjectScore(WHO, harness.clock(), 0.81, 3, reasons),
                SubjectScore("client:good", harness.clock(), 0.4, 0, []),
            ],
        )
        reason = "missing 1.00, when it was banned"
        plugin._blocks.add(connection, Block(WHO, "ban", 0.0, harness.clock() + 60, reason), 0.0)


def test_the_list_holds_who_is_unusual_and_nobody_else(harness, plugin, ask):
    assert json.loads(ask("list").output) == []
    store_scores(plugin, harness)
    [row] = json.loads(ask("list").output)
    assert (row["subject"], row["state"], row["streak"]) == (WHO, "ban", 3)
    assert row["explanation"] == "missing 1.00, when it was banned"
    assert row["until"] == "2026-01-01T00:01:00Z"


def test_one_subject_is_shown_with_its_reasons(harness, plugin, ask):
    store_scores(plugin, harness)
    assert json.loads(ask("show", WHO).output)["reasons"] == [["missing", 1.0, 0.0, 0.01]]
    assert json.loads(ask("show", "client:good").output)["state"] == "usual"
    assert ask("show", "client:nobody").exit_code == 1


def test_a_lifted_subject_is_let_in_and_an_event_says_so(harness, plugin, ask):
    store_scores(plugin, harness)
    assert json.loads(ask("lift", WHO).output) == {"lifted": WHO}
    plugin.admit(harness.exchange(address="192.0.2.1"))
    assert [event.name for event in harness.emitted] == ["anomaly_lifted"]
    assert ask("lift", WHO).exit_code == 1


def test_people_read_lines(harness, plugin):
    shown = CliRunner().invoke(plugin.commands(), ["list"])
    assert "not trained yet" in shown.output
    store_scores(plugin, harness)
    shown = CliRunner().invoke(plugin.commands(), ["list"])
    assert shown.output.startswith(WHO)


@pytest.mark.parametrize("words", [["show"], ["lift"], ["drift"], ["shout"], ["list", "x"]])
def test_words_that_make_no_sense_end_with_two(ask, words):
    assert ask(*words).exit_code == 2


@pytest.mark.parametrize("share", ["-0.1", "0.1", "many"])
def test_a_share_beyond_its_bounds_is_refused(ask, share):
    assert ask("train", "--false-alarms", share).exit_code == 2


def test_a_fault_is_json_for_a_script(ask):
    done = ask("lift", "client:nobody")
    assert "nobody" in json.loads(done.stderr)["error"]
    assert done.stdout == ""
