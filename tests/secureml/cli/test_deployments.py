"""The commands over an instance with two sealed versions; workers are reports in its store."""

from __future__ import annotations

import time

import pytest

from secureml.cli import deployments as commands
from secureml.state.deployments import Deployments
from secureml.state.serving_reports import ServerReport, ServingReports

NAME = "number"


def serve(store, version, *, refused=None):
    """Have two workers say what they serve."""
    for number in (1, 2):
        report = ServerReport(f"host:{number}", {NAME: version}, refused or {})
        ServingReports(store, time.time).report(report)


def test_use_says_how_many_workers_follow(run_models, versions_store):
    serve(versions_store, "2")
    assert run_models("use", NAME, "2") == {"name": NAME, "version": "2", "workers": 2}


def test_without_a_server_it_is_for_the_next_start(ask_models):
    assert "from the next start on" in ask_models("use", NAME, "2").out


def test_a_worker_that_refuses_a_version_is_told_with_its_reason(ask_models, versions_store):
    serve(versions_store, "1", refused={NAME: "model number version 2: digest: not the one"})
    said = ask_models("use", NAME, "2")
    assert said.code == 1
    assert "host:1 does not take it: model number version 2: digest" in said.err


def test_a_worker_that_does_not_follow_is_named(ask_models, versions_store, monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 0.0)
    serve(versions_store, "1")
    said = ask_models("use", NAME, "2")
    assert said.code == 1
    assert "after 0 s: host:1, host:2; fix: see the log" in said.err


def test_rollback_goes_back_and_twice_is_where_we_were(run_models):
    run_models("use", NAME, "2")
    assert run_models("rollback", NAME)["version"] == "1"
    assert run_models("rollback", NAME)["version"] == "2"


def test_a_version_put_into_use_is_on_trial_no_more(run_models, versions_store):
    run_models("canary", NAME, "2")
    run_models("use", NAME, "2")
    trial = Deployments(versions_store, time.time).of(NAME).trial
    assert (trial.runs, trial.why) == (False, "it was put into use")


def test_a_version_is_loaded_once_it_is_proved(run_models, ask_models, versions_store, versions):
    assert run_models("load", NAME, "2")["path"] == f"/v1/models/{NAME}/versions/2/predict"
    assert Deployments(versions_store, time.time).of(NAME).loaded == {"2"}
    assert run_models("unload", NAME, "2")["loaded"] is False
    assert Deployments(versions_store, time.time).of(NAME).loaded == frozenset()
    (versions / f"models/{NAME}/2/model.data").write_bytes(b"another")
    assert ask_models("load", NAME, "2").code == 1
    assert Deployments(versions_store, time.time).of(NAME).loaded == frozenset()


@pytest.mark.parametrize("command", ["load", "unload", "use", "canary", "shadow", "retire"])
def test_a_version_that_is_not_there_is_refused_in_one_line(ask_models, command):
    said = ask_models(command, NAME, "9", *["--cancel"] * (command == "retire"))
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert f"{NAME} has no version 9" in said.err


def test_a_retirement_is_announced_and_taken_back(run_models, versions_store):
    dates = ("--deprecated", "2026-01-01T00:00:00Z", "--sunset", "2030-01-01T00:00:00Z")
    run_models("retire", NAME, "1", *dates, "--link", "https://example.org/v2")
    (found,) = Deployments(versions_store, time.time).of(NAME).retirements.values()
    assert (found.deprecated, found.sunset) == (1767225600.0, 1893456000.0)
    run_models("retire", NAME, "1", "--cancel")
    assert Deployments(versions_store, time.time).of(NAME).retirements == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give --deprecated, --sunset or both"),
        (("--cancel", "--sunset", "2030-01-01T00:00:00Z"), "or --cancel alone"),
        (("--deprecated", "2030-01-01T00:00:00Z", "--sunset", "2026-01-01T00:00:00Z"), "before"),
        (("--sunset", "2030-01-01T00:00:00"), "no zone"),
        (("--sunset", "now", "--link", "http://example.org"), "begins with https://"),
        (("--sunset", "now", "--link", 'https://e.org/>; rel="next"'), "no spaces, quotes"),
        (("--sunset", "now", "--link", "https://e.org/\r\nX: y"), "begins with https://"),
    ],
)
def test_a_retirement_that_makes_no_sense_is_refused(ask_models, words, says):
    said = ask_models("retire", NAME, "1", *words)
    assert said.code == 2
    assert says in said.err


def test_what_was_said_of_a_removed_version_goes_with_it(run_models, versions_store):
    run_models("load", NAME, "2")
    run_models("remove", f"{NAME}@2")
    assert Deployments(versions_store, time.time).read() == {}
