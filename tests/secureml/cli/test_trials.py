from __future__ import annotations

import json
import time
from contextlib import closing

import pytest

from secureml.models.serving.comparison import Comparison, Side
from secureml.state.deployments import Deployments, TrialLimits
from secureml.state.serving_reports import ServingReports
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


@pytest.mark.parametrize(("command", "share"), [("canary", 0.1), ("shadow", 1.0)])
def test_a_trial_is_what_was_ordered(run, store, command, share):
    run(command, NAME, "2")
    trial = Deployments(store, time.time).of(NAME).trial
    assert (trial.version, trial.canary, trial.share) == ("2", command == "canary", share)
    assert trial.limits == TrialLimits()
    words = ["--share", "0.3", "--after", "7", "--max-error-rate", "0.5", "--max-latency", "9"]
    run(command, NAME, "2", *words, "--max-disagreement", "0.25")
    trial = Deployments(store, time.time).of(NAME).trial
    assert (trial.share, trial.limits) == (0.3, TrialLimits(7, 0.5, 9.0, 0.25))


def test_the_version_in_use_is_not_tried(ask):
    said = ask("canary", NAME, "1")
    assert said.code == 1
    assert "version 1 of number is the one in use" in said.err


def test_a_version_that_cannot_be_proved_is_not_tried(ask, store, site):
    (site / f"models/{NAME}/2/model.data").write_bytes(b"another")
    assert ask("shadow", NAME, "2").code == 1
    assert Deployments(store, time.time).of(NAME).trial is None


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan"])
def test_a_share_is_more_than_nothing_and_at_most_all(ask, share):
    assert ask("canary", NAME, "2", "--share", share).code == 2


def test_the_comparison_of_all_workers_is_shown(run, ask, store):
    run("shadow", NAME, "2")
    trial = Deployments(store, time.time).of(NAME).trial
    part = Comparison(Side(10, 0, 1000, 10), Side(10, 1, 2000, 10), rows=10, differing=2)
    for place in ("host:1", "host:2"):
        ServingReports(store, time.time).put_comparison(trial.run, place, part.to_json())
    found = run("trial", NAME)
    assert (found["rows"], found["disagreement"], found["latency_ratio"]) == (20, 0.2, 2.0)
    assert found["tried"] == {"requests": 20, "error_rate": 0.1, "mean_microseconds": 200.0}
    text = ask("trial", NAME).out
    assert "version 2, shadow, share 100%" in text
    assert "answered otherwise      20.00%" in text


def test_a_trial_is_stopped_by_hand_and_keeps_what_it_found(run, store):
    run("canary", NAME, "2")
    found = run("trial", NAME, "--stop")
    assert found["why"] == "an operator stopped it"
    assert not Deployments(store, time.time).of(NAME).trial.runs


def test_a_new_trial_drops_the_sums_of_the_one_before(run, store):
    run("canary", NAME, "2")
    before = Deployments(store, time.time).of(NAME).trial.run
    ServingReports(store, time.time).put_comparison(before, "host:1", Comparison().to_json())
    run("canary", NAME, "2")
    assert ServingReports(store, time.time).comparisons(before) == []


def test_without_a_trial_there_is_nothing_to_show(ask):
    said = ask("trial", NAME)
    assert said.code == 1
    assert "fix: begin one with `secureml models shadow number VERSION`" in said.err
