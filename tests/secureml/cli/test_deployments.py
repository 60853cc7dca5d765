"""The commands over an instance with two sealed versions; workers are reports in its store."""

from __future__ import annotations

import json
import time
from contextlib import closing

import pytest

from secureml.cli import deployments as commands
from secureml.state.deployments import Deployments
from secureml.state.serving_reports import ServerReport, ServingReports
from secureml.state.store import Store
from tests.data_forms import seal_constants

NAME = "number"


@pytest.fixture
def site(fresh_instance):
    seal_constants(fresh_instance, NAME, 2)
    return fresh_instance


@pytest.fixture
def store(site):
    with closing(Store(f"sqlite:///{site / 'secureml.db'}")) as found:
        yield found


@pytest.fixture
def ask(site, type_command):
    return lambda *words: type_command("models", *words, "--instance", site)


@pytest.fixture
def run(ask):
    def run_it(*words):
        said = ask(*words, "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    return run_it


def serve(store, version, *, refused=None):
    """Have two workers say what they serve."""
    for number in (1, 2):
        report = ServerReport(f"host:{number}", {NAME: version}, refused or {})
        ServingReports(store, time.time).report(report)


def test_use_says_how_many_workers_follow(run, store):
    serve(store, "2")
    assert run("use", NAME, "2") == {"name": NAME, "version": "2", "workers": 2}


def test_without_a_server_it_is_for_the_next_start(ask):
    assert "from the next start on" in ask("use", NAME, "2").out


def test_a_worker_that_refuses_a_version_is_told_with_its_reason(ask, store):
    serve(store, "1", refused={NAME: "model number version 2: digest: not the one"})
    said = ask("use", NAME, "2")
    assert said.code == 1
    assert "host:1 does not take it: model number version 2: digest" in said.err


def test_a_worker_that_does_not_follow_is_named(ask, store, monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 0.0)
    serve(store, "1")
    said = ask("use", NAME, "2")
    assert said.code == 1
    assert "after 0 s: host:1, host:2; fix: see the log" in said.err


def test_rollback_goes_back_and_twice_is_where_we_were(run):
    run("use", NAME, "2")
    assert run("rollback", NAME)["version"] == "1"
    assert run("rollback", NAME)["version"] == "2"


def test_a_version_put_into_use_is_on_trial_no_more(run, store):
    run("canary", NAME, "2")
    run("use", NAME, "2")
    trial = Deployments(store, time.time).of(NAME).trial
    assert (trial.runs, trial.why) == (False, "it was put into use")


def test_a_version_is_loaded_once_it_is_proved(run, ask, store, site):
    assert run("load", NAME, "2")["path"] == f"/v1/models/{NAME}/versions/2/predict"
    assert Deployments(store, time.time).of(NAME).loaded == {"2"}
    assert run("unload", NAME, "2")["loaded"] is False
    assert Deployments(store, time.time).of(NAME).loaded == frozenset()
    (site / f"models/{NAME}/2/model.data").write_bytes(b"another")
    assert ask("load", NAME, "2").code == 1
    assert Deployments(store, time.time).of(NAME).loaded == frozenset()


@pytest.mark.parametrize("command", ["load", "unload", "use", "canary", "shadow", "retire"])
def test_a_version_that_is_not_there_is_refused_in_one_line(ask, command):
    said = ask(command, NAME, "9", *["--cancel"] * (command == "retire"))
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert f"{NAME} has no version 9" in said.err


def test_a_retirement_is_announced_and_taken_back(run, store):
    dates = ("--deprecated", "2026-01-01T00:00:00Z", "--sunset", "2030-01-01T00:00:00Z")
    run("retire", NAME, "1", *dates, "--link", "https://example.org/v2")
    (found,) = Deployments(store, time.time).of(NAME).retirements.values()
    assert (found.deprecated, found.sunset) == (1767225600.0, 1893456000.0)
    run("retire", NAME, "1", "--cancel")
    assert Deployments(store, time.time).of(NAME).retirements == {}


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
def test_a_retirement_that_makes_no_sense_is_refused(ask, words, says):
    said = ask("retire", NAME, "1", *words)
    assert said.code == 2
    assert says in said.err


def test_what_was_said_of_a_removed_version_goes_with_it(run, store):
    run("load", NAME, "2")
    run("remove", f"{NAME}@2")
    assert Deployments(store, time.time).read() == {}
