"""Over sealed models and the real phases: what each caller is told of an answer's uncertainty."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge

from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.output_rules.plugin import OutputRules
from plugins.scopes.plugin import Scopes
from plugins.theft_guard.plugin import TheftGuard
from plugins.uncertainty.calibration import calibration_of, half_step
from plugins.uncertainty.plugin import Uncertainty
from secureml import ConfigError, Plugin
from secureml.pipeline import plugin_set
from secureml.testing import Harness
from tests.made_models import seal_estimator

HEADER = "a,b,c,answer"
FAR = [900.0, -900.0, 900.0]
TABLE = {"models": ["kinds", "amount"]}


def text(table, answers):
    rows = zip(table.tolist(), answers, strict=True)
    return (
        "\n".join([HEADER, *(",".join(map(repr, [*row, answer])) for row, answer in rows)]) + "\n"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, crepes):
    """A folder with a classifier, a regressor, one of few rows, and one without calibration."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    table = rng.normal(size=(900, 3))
    number = table @ [2.0, -1.0, 0.5] + rng.normal(size=900)
    kinds = np.digitize(number, [-1, 1])
    for name, model, answers in (
        ("kinds", RandomForestClassifier(40, random_state=0), kinds),
        ("amount", Ridge(), number),
        ("few", Ridge(), number),
        ("plain", Ridge(), number),
    ):
        model.fit(table[:400], answers[:400])
        held = folder / f"{name}-held.csv"
        end = 450 if name == "few" else 900
        held.write_text(text(table[400:end], answers[400:end].tolist()))
        given = {} if name == "plain" else {"uncertainty": {"calibrate": held}}
        seal_estimator(
            folder,
            model,
            name,
            table=text(table[:400], answers[:400].tolist()),
            target="answer",
            options=given,
        )
    return folder


@pytest.fixture(scope="module")
def harness(folder):
    harness = Harness(folder)
    harness.models.load_all()
    return harness


ROWS = [[0.0, 0.0, 0.0], [2.0, -1.0, 0.3], [-0.4, 0.3, 0.1], [0.6, 0.0, -0.2], FAR]


def answer(harness, model="kinds", table=TABLE, rows=ROWS, before=()):
    plugins = [Anonymous, Scopes, *before]
    loaded = [harness.load(*(each if type(each) is tuple else (each,))) for each in plugins]
    last = [harness.load(Uncertainty, table), harness.load(Errors)]
    plugin_set.check([*loaded, *last])
    caller = harness.app([*loaded, *last]).test_client()
    said = caller.post(f"/v1/models/{model}/predict", json={"instances": rows})
    assert said.status_code == 200, said.text
    return said.json


def rules(**words):
    return (OutputRules, {"grants": [{"client": "anonymous", **words}]})


def sets(answered, threshold, decimals=None):
    most = threshold + half_step(decimals)
    return [
        [label for label, share in enumerate(row) if 1 - share <= most]
        for row in answered["probabilities"]
    ]


def test_a_classifier_tells_which_classes_may_be_the_true_one(harness):
    said = answer(harness)
    threshold = calibration_of(harness.models.get("kinds").card).thresholds[0.9]

    assert said["coverage"] == 0.9
    assert said["prediction_sets"] == sets(said, threshold)
    assert {len(each) for each in said["prediction_sets"]} >= {1, 2}
    assert said["in_distribution"] == [True, True, True, True, False]
    assert "intervals" not in said


def test_a_regressor_tells_between_which_numbers_the_true_one_is(harness):
    said = answer(harness, "amount", {**TABLE, "coverage": 0.95})
    half = calibration_of(harness.models.get("amount").card).thresholds[0.95]

    assert said["coverage"] == 0.95
    assert said["intervals"] == [[each - half, each + half] for each in said["predictions"]]
    assert said["in_distribution"][-1] is False
    assert "prediction_sets" not in said


def test_more_coverage_has_larger_sets(harness):
    narrow = answer(harness, table={**TABLE, "coverage": 0.8})["prediction_sets"]
    wide = answer(harness, table={**TABLE, "coverage": 0.99})["prediction_sets"]
    assert all(set(one) <= set(other) for one, other in zip(narrow, wide, strict=True))
    assert narrow != wide


def test_answers_themselves_are_what_they_were(harness):
    with_it, without = answer(harness), answer(harness, table={"models": ["amount"]})
    assert {key: with_it[key] for key in without if key != "id"} == {
        key: value for key, value in without.items() if key != "id"
    }
    assert without.keys() == {"predictions", "probabilities", "model", "id"}


def test_attack_a_caller_who_sees_labels_alone_learns_of_no_other_class(harness):
    said = answer(harness, before=[rules(answer="labels")])
    assert said.keys() == {"predictions", "in_distribution", "model", "id"}


def test_attack_of_the_highest_probability_alone_no_set_is_told_that_needs_the_others(harness):
    full = answer(harness)
    said = answer(harness, before=[rules(answer="probabilities", top=1)])
    threshold = calibration_of(harness.models.get("kinds").card).thresholds[0.9]

    for shown, found in zip(said["probabilities"], said["prediction_sets"], strict=True):
        most = max(share for share in shown if share is not None)
        assert found is None or (found == [] and 1 - most > threshold)
    assert None in said["prediction_sets"]
    assert None not in full["prediction_sets"]


def test_attack_a_set_of_rounded_probabilities_is_made_of_the_rounded_ones(harness):
    said = answer(harness, before=[rules(answer="probabilities", decimals=1)])
    threshold = calibration_of(harness.models.get("kinds").card).thresholds[0.9]

    assert said["prediction_sets"] == sets(said, threshold, 1)
    exact = answer(harness)["prediction_sets"]
    assert all(
        set(one) <= set(two) for one, two in zip(exact, said["prediction_sets"], strict=True)
    )


def test_attack_an_interval_does_not_give_back_the_digits_that_were_rounded_away(harness):
    said = answer(harness, "amount", before=[(OutputRules, {"decimals": 1})])
    half = calibration_of(harness.models.get("amount").card).thresholds[0.9] + half_step(1)

    assert said["predictions"] == [round(each, 1) for each in said["predictions"]]
    assert said["intervals"] == [[each - half, each + half] for each in said["predictions"]]


def test_attack_answers_that_the_theft_guard_made_coarse_tell_no_more(harness):
    """A client that is copying the model is left with labels: sets would be probabilities."""
    copied = np.random.default_rng(1).uniform(-60, 60, size=(400, 3)).tolist()
    guard = (TheftGuard, {"actions": ["coarsen"], "coarsening": "labels", "file": "store/labels"})
    said = answer(harness, rows=copied, before=[guard])
    assert said.keys() == {"predictions", "in_distribution", "model", "id"}

    guard = (TheftGuard, {"actions": ["coarsen"], "coarsening": "rounded", "file": "store/round"})
    said = answer(harness, rows=copied, before=[guard])
    threshold = calibration_of(harness.models.get("kinds").card).thresholds[0.9]
    assert said["probabilities"] == [
        [round(each, 1) for each in row] for row in said["probabilities"]
    ]
    assert said["prediction_sets"] == sets(said, threshold, 1)


@pytest.mark.parametrize("other", [OutputRules, TheftGuard])
def test_attack_a_list_in_which_an_answer_is_made_coarse_afterwards_stops_the_start(harness, other):
    loaded = [
        harness.load(Anonymous),
        harness.load(Scopes),
        harness.load(Uncertainty, TABLE),
        harness.load(other),
    ]
    with pytest.raises(ConfigError, match=f"{other.name} comes after uncertainty"):
        plugin_set.check(loaded)


def test_a_model_that_is_not_listed_or_not_calibrated_answers_as_before(harness):
    table = {"models": ["plain"]}
    assert answer(harness, "plain", table).keys() == {"predictions", "model", "id"}
    assert answer(harness, "amount", table).keys() == {"predictions", "model", "id"}


def test_at_the_start_it_is_said_which_models_cannot_tell(harness, caplog):
    plugin = harness.build(Uncertainty, {"models": ["plain", "kinds", "gone"]})
    with caplog.at_level(logging.WARNING):
        plugin.start_worker(2)
    (record,) = caplog.records
    assert record.getMessage() == (
        "model plain was sealed without --calibrate: its answers tell no uncertainty; fix: seal "
        "it again with --calibrate, or take it out of [plugins.uncertainty] models"
    )


def test_a_coverage_that_the_calibration_cannot_promise_is_not_told(harness, caplog):
    table = {"models": ["few"], "coverage": 0.99}
    assert answer(harness, "few", table).keys() == {"predictions", "model", "id"}
    with caplog.at_level(logging.WARNING):
        harness.build(Uncertainty, table).start_worker(2)
    assert "50 rows, too few for coverage = 0.99; fix: seal it again with more rows" in caplog.text
    assert "or choose one of 0.8, 0.9, 0.95" in caplog.text
    assert "too few for false_flag_rate = 0.01" in caplog.text


def test_observed_only_it_changes_no_answer(harness, caplog):
    said = answer(harness, table={**TABLE, "mode": "observe"})
    assert said.keys() == {"predictions", "probabilities", "model", "id"}
    assert "uncertainty would change the answer" in caplog.text


@pytest.mark.parametrize(
    "table", [{}, {"models": []}, {**TABLE, "coverage": 0.85}, {**TABLE, "false_flag_rate": 0.5}]
)
def test_settings_that_nothing_can_be_promised_for_stop_the_start(harness, table):
    with pytest.raises(ConfigError):
        harness.load(Uncertainty, table)


def test_a_model_that_was_swapped_out_is_not_kept(folder):
    harness = Harness(folder)
    harness.models.load_all()
    plugin: Plugin = harness.build(Uncertainty, TABLE)
    app = harness.app([harness.load(Anonymous), harness.load(Scopes)])
    assert app is not None
    plugin._calibration(harness.models.get("kinds"))
    assert len(plugin._found) == 1
    harness.models.load_all()
    assert len(plugin._found) == 0
