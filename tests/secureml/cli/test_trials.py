from __future__ import annotations

import time

import pytest

from secureml.models.serving.comparison import Comparison, Side
from secureml.state.deployments import Deployments, TrialLimits
from secureml.state.serving_reports import ServingReports

NAME = "number"


@pytest.mark.parametrize(("command", "share"), [("canary", 0.1), ("shadow", 1.0)])
def test_a_trial_is_what_was_ordered(run_models, versions_store, command, share):
    run_models(command, NAME, "2")
    trial = Deployments(versions_store, time.time).of(NAME).trial
    assert (trial.version, trial.canary, trial.share) == ("2", command == "canary", share)
    assert trial.limits == TrialLimits()
    words = ["--share", "0.3", "--after", "7", "--max-error-rate", "0.5", "--max-latency", "9"]
    run_models(command, NAME, "2", *words, "--max-disagreement", "0.25")
    trial = Deployments(versions_store, time.time).of(NAME).trial
    assert (trial.share, trial.limits) == (0.3, TrialLimits(7, 0.5, 9.0, 0.25))


def test_the_version_in_use_is_not_tried(ask_models):
    said = ask_models("canary", NAME, "1")
    assert said.code == 1
    assert "version 1 of number is the one in use" in said.err


def test_a_version_that_cannot_be_proved_is_not_tried(ask_models, versions_store, versions):
    (versions / f"models/{NAME}/2/model.data").write_bytes(b"another")
    assert ask_models("shadow", NAME, "2").code == 1
    assert Deployments(versions_store, time.time).of(NAME).trial is None


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan"])
def test_a_share_is_more_than_nothing_and_at_most_all(ask_models, share):
    assert ask_models("canary", NAME, "2", "--share", share).code == 2


def test_the_comparison_of_all_workers_is_shown(run_models, ask_models, versions_store):
    run_models("shadow", NAME, "2")
    trial = Deployments(versions_store, time.time).of(NAME).trial
    part = Comparison(Side(10, 0, 1000, 10), Side(10, 1, 2000, 10), rows=10, differing=2)
    for place in ("host:1", "host:2"):
        ServingReports(versions_store, time.time).put_comparison(trial.run, place, part.to_json())
    found = run_models("trial", NAME)
    assert (found["rows"], found["disagreement"], found["latency_ratio"]) == (20, 0.2, 2.0)
    assert found["tried"] == {"requests": 20, "error_rate": 0.1, "mean_microseconds": 200.0}
    text = ask_models("trial", NAME).out
    assert "version 2, shadow, share 100%" in text
    assert "answered otherwise      20.00%" in text


def test_a_trial_is_stopped_by_hand_and_keeps_what_it_found(run_models, versions_store):
    run_models("canary", NAME, "2")
    found = run_models("trial", NAME, "--stop")
    assert found["why"] == "an operator stopped it"
    assert not Deployments(versions_store, time.time).of(NAME).trial.runs


def test_a_new_trial_drops_the_sums_of_the_one_before(run_models, versions_store):
    run_models("canary", NAME, "2")
    before = Deployments(versions_store, time.time).of(NAME).trial.run
    ServingReports(versions_store, time.time).put_comparison(
        before, "host:1", Comparison().to_json()
    )
    run_models("canary", NAME, "2")
    assert ServingReports(versions_store, time.time).comparisons(before) == []


def test_without_a_trial_there_is_nothing_to_show(ask_models):
    said = ask_models("trial", NAME)
    assert said.code == 1
    assert "fix: begin one with `secureml models shadow number VERSION`" in said.err
