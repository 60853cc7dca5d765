"""What an operator types: train, list, show, drift, lift."""

from __future__ import annotations

import json
import os
import stat

import pytest
from click.testing import CliRunner

from plugins.anomaly.baseline import MIN_WINDOWS, Baseline
from plugins.anomaly.blocks import Block
from plugins.anomaly.cli import CommandContext, group
from plugins.anomaly.drift import FeatureDrift
from plugins.anomaly.plugin import Anomaly
from plugins.anomaly.window import Window
from plugins.anomaly.window_store import SubjectScore
from secureml import ConfigError, ModelRefused, StoreUnavailable
from secureml.testing import Harness
from tests import anomaly_rows as rows
from tests import anomaly_traffic as traffic

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
    mark = plugin._window_store.lease("one", 60)
    reasons = [["missing", 1.0, 0.0, 0.01]]
    with plugin._window_store.begin() as connection:
        plugin._window_store.save_scores(
            connection,
            mark,
            mark + 60,
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


@pytest.fixture
def read(plugin):
    """Type a command and return what people read, both streams."""

    def typed(*words):
        done = CliRunner().invoke(plugin.commands(), words)
        return done.output

    return typed


# train


def test_who_trains_reads_how_many_windows_and_what_to_do_next(plugin, read):
    live(plugin, MIN_WINDOWS)
    text = read("train")
    assert f"trained on {MIN_WINDOWS} windows" in text
    assert "Restart the server" in text


def test_too_few_windows_are_said_with_what_they_need(plugin, read):
    live(plugin, MIN_WINDOWS - 1)
    text = read("train")
    assert f"{MIN_WINDOWS - 1} windows are too few" in text
    assert "at least 10 requests" in text
    assert "fix: " in text
    assert not plugin._file.exists()


def test_a_window_with_just_enough_requests_is_trained_on(plugin, ask):
    few = {("client:a", 60.0 * n): Window(requests=10) for n in range(MIN_WINDOWS)}
    plugin._window_store.write(few)
    assert json.loads(ask("train").output)["windows"] == MIN_WINDOWS


def test_windows_of_the_future_are_not_trained_on(harness, plugin, ask):
    live(plugin, MIN_WINDOWS)
    rows.run(
        harness.store,
        "INSERT INTO anomaly_windows (subject, start, counts) VALUES ('client:a', :start, :counts)",
        start=harness.clock() + 3600,
        counts=json.dumps(Window(requests=20).to_json()),
    )
    assert json.loads(ask("train").output)["windows"] == MIN_WINDOWS


@pytest.mark.parametrize("text", rows.UNREADABLE.values(), ids=rows.UNREADABLE)
def test_rows_that_cannot_be_read_are_not_trained_on_and_stop_nothing(harness, plugin, ask, text):
    live(plugin, MIN_WINDOWS)
    rows.run(
        harness.store,
        "INSERT INTO anomaly_windows (subject, start, counts) VALUES ('client:b', 60.0, :text)",
        text=text,
    )
    assert json.loads(ask("train").stdout)["windows"] == MIN_WINDOWS


def test_training_again_replaces_the_file_whole(harness, plugin, ask):
    live(plugin, MIN_WINDOWS)
    ask("train")
    harness.clock.advance(100)
    plugin._window_store.write({("client:b", 60.0): Window(requests=50)})
    assert json.loads(ask("train").output)["windows"] == MIN_WINDOWS + 1
    found = Baseline.from_json(plugin._file.read_text())
    assert (len(found.rows), found.trained_at) == (MIN_WINDOWS + 1, harness.clock())
    assert [path.name for path in plugin._file.parent.iterdir()] == ["baseline.json"]


def test_a_file_that_cannot_be_replaced_is_one_line_and_leaves_no_draft(plugin, ask):
    live(plugin, MIN_WINDOWS)
    plugin._file.mkdir(parents=True)
    done = ask("train")
    assert done.exit_code == 1
    assert "baseline.json" in json.loads(done.stderr)["error"]
    assert [path.name for path in plugin._file.parent.iterdir()] == ["baseline.json"]


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_of_the_file_is_not_left_to_the_umask(plugin, ask, umask):
    """The service reads it, its group may, and nobody else does."""
    live(plugin, MIN_WINDOWS)
    plugin._file.parent.mkdir()
    before = os.umask(umask)
    try:
        assert ask("train").exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(plugin._file.stat().st_mode) == 0o640


def test_a_damaged_file_can_be_replaced_as_the_fix_says(harness, plugin, ask):
    """No command works while the start is refused, so the fix begins with removing the file."""
    live(plugin, MIN_WINDOWS)
    plugin._file.parent.mkdir()
    plugin._file.write_text("{")
    with pytest.raises(ConfigError, match=r"remove the file.*secureml anomaly train"):
        harness.build(Anomaly)
    plugin._file.unlink()
    again = harness.build(Anomaly)
    assert CliRunner().invoke(again.commands(), ["train"]).exit_code == 0
    assert harness.build(Anomaly)._baseline is not None


# list and show


def test_the_list_of_a_trained_server_without_trouble_says_so(harness, read):
    (harness.folder / "anomaly").mkdir()
    file = harness.folder / "anomaly" / "baseline.json"
    file.write_text(traffic.trained(MIN_WINDOWS).to_json())
    trained = harness.build(Anomaly)
    shown = CliRunner().invoke(trained.commands(), ["list"])
    assert shown.output == "no caller behaves unusually\n"
    assert "fix: run `secureml anomaly train`" in read("list")


def test_who_is_unusual_and_not_blocked_is_listed_with_the_reasons_of_its_score(
    harness, plugin, ask
):
    store_scores(plugin, harness)
    plugin._blocks.lift(WHO)
    [row] = json.loads(ask("list").output)
    assert (row["state"], row["until"]) == ("unusual", None)
    assert row["explanation"] == "missing 1.00 (usually 0.00 to 0.01)"
    assert row["score"] == 0.81


def test_the_list_is_in_the_order_of_names_and_has_who_is_blocked_without_a_score(
    harness, plugin, ask
):
    """Of many scores the oldest are deleted, and blocks are not."""
    store_scores(plugin, harness)
    with harness.store.begin() as connection:
        block = Block("address:100.0.0.1", "hold", 0.0, None, "refused 1.00")
        plugin._blocks.add(connection, block, 0.0)
    found = json.loads(ask("list").output)
    assert [row["subject"] for row in found] == ["address:100.0.0.1", WHO]
    assert (found[0]["score"], found[0]["window"], found[0]["reasons"]) == (None, None, [])
    assert found[0]["explanation"] == "refused 1.00"


def test_a_ban_that_is_over_leaves_the_list_and_its_window_does_not(harness, plugin, ask):
    store_scores(plugin, harness)
    harness.clock.advance(61)
    [row] = json.loads(ask("list").output)
    assert row["state"] == "unusual"


def test_who_is_blocked_without_a_score_is_shown(harness, plugin, ask, read):
    with harness.store.begin() as connection:
        plugin._blocks.add(connection, Block(WHO, "hold", 0.0, None, "refused 1.00"), 0.0)
    assert json.loads(ask("show", WHO).output)["state"] == "hold"
    assert read("show", WHO) == f"{WHO}: no score is kept, hold\nrefused 1.00\n"


def test_people_read_a_score_with_its_time_state_and_reasons(harness, plugin, read):
    store_scores(plugin, harness)
    assert read("show", WHO).splitlines() == [
        f"{WHO}: score 0.810 at 2026-01-01T00:00:00Z, ban",
        "missing 1.00, when it was banned",
    ]
    assert read("show", "client:good").splitlines() == [
        "client:good: score 0.400 at 2026-01-01T00:00:00Z, usual"
    ]


@pytest.mark.parametrize("word", ["show", "lift"])
def test_a_subject_that_is_not_there_is_named_with_where_to_look(read, word):
    text = read(word, "client:nobody")
    assert "'client:nobody'" in text
    assert "fix: take a subject from `secureml anomaly list`" in text


@pytest.mark.parametrize("text", rows.UNREADABLE.values(), ids=rows.UNREADABLE)
def test_a_score_whose_reasons_cannot_be_read_is_listed_without_them(harness, ask, text):
    statement = "INSERT INTO anomaly_scores VALUES (:who, 60.0, 0.9, 2, :text)"
    ask("list")  # makes the tables
    rows.run(harness.store, statement, who=WHO, text=text)
    [row] = json.loads(ask("list").output)
    assert (row["subject"], row["state"], row["explanation"]) == (WHO, "unusual", "")
    assert ask("show", WHO).exit_code == 0


# lift


@pytest.mark.parametrize(("subject", "client"), [(WHO, ""), ("client:acme", "acme")])
def test_the_event_of_a_lift_has_its_subject(harness, plugin, ask, subject, client):
    with harness.store.begin() as connection:
        plugin._blocks.add(connection, Block(subject, "hold", 0.0, None, "reason"), 0.0)
    assert ask("lift", subject).exit_code == 0
    [event] = harness.emitted
    assert (event.client, event.facts) == (client, {"subject": subject})


def test_a_lift_of_nothing_is_no_event(harness, ask):
    assert ask("lift", WHO).exit_code == 1
    assert harness.emitted == []


def test_every_look_of_a_command_that_finds_no_store_is_one_line(harness, plugin, monkeypatch):
    def away(*args, **options):
        raise StoreUnavailable("the store cannot be read (OperationalError)")

    monkeypatch.setattr(harness.store, "read", away)
    monkeypatch.setattr(harness.store, "begin", away)
    for words in (["list"], ["show", WHO], ["lift", WHO], ["train"]):
        done = CliRunner().invoke(plugin.commands(), words)
        assert done.exit_code == 1, words
        assert done.output == "Error: the store cannot be read (OperationalError)\n"


# drift


def typed_drift(plugin, drift_of, *words):
    context = CommandContext(
        plugin._window_store, plugin._blocks, plugin._file, None, 10, plugin._now, drift_of
    )
    return CliRunner().invoke(group(context, lambda event: None), ["drift", "churn", *words])


FOUND = [FeatureDrift("age", 0.51239, 4000), FeatureDrift("income", 0.00004, 3990)]


def test_drift_is_shown_by_feature_in_the_order_it_was_measured(plugin):
    asked = []
    done = typed_drift(plugin, lambda model: asked.append(model) or FOUND)
    assert done.output.split("\n") == ["   0.512  age", "   0.000  income", ""]
    assert asked == ["churn"]


def test_drift_for_a_script_has_the_rows_it_is_of(plugin):
    done = typed_drift(plugin, lambda model: FOUND, "--json")
    assert json.loads(done.output) == [
        {"feature": "age", "psi": 0.5124, "rows": 4000},
        {"feature": "income", "psi": 0.0, "rows": 3990},
    ]


def test_drift_of_too_few_rows_says_what_may_be_missing(plugin):
    done = typed_drift(plugin, lambda model: [])
    assert done.exit_code == 0
    assert "drift_window" in done.output
    assert "fix: " in done.output
    assert json.loads(typed_drift(plugin, lambda model: [], "--json").output) == []


def test_drift_of_a_model_that_is_refused_is_one_line_with_its_fix(plugin):
    def refuse(model):
        raise ModelRefused("card", "the card cannot be read", "seal the model again")

    done = typed_drift(plugin, refuse)
    assert done.exit_code == 1
    assert "the card cannot be read" in done.output
    assert "seal the model again" in done.output
    assert "Traceback" not in done.output


def test_drift_of_a_model_that_is_not_there_names_it(ask):
    done = ask("drift", "nothing")
    assert done.exit_code == 1
    assert "there is no model 'nothing'" in json.loads(done.stderr)["error"]
