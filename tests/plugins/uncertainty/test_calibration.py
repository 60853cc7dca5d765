"""What is told of an answer is a function of the answer as it is seen, and never too narrow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from plugins.uncertainty.calibration import (
    Calibration,
    calibration_of,
    half_step,
    intervals,
    prediction_sets,
    read_calibration,
)
from plugins.uncertainty.distance import learn_distance
from secureml.kit.cards import Feature, Section
from tests.made_card import card

TABLE = np.random.default_rng(0).normal(size=(100, 2))
MADE = Calibration(
    100,
    {0.8: 0.25, 0.9: 0.5},
    learn_distance(TABLE, [0, 1], [0] * 100),
    {0.05: 3.5},
    3,
    "d" * 64,
)


def test_a_class_is_in_the_set_by_its_own_probability():
    assert prediction_sets([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]], ["a", "b"], 0.55) == [
        ["a"],
        ["a"],
        ["a", "b"],
    ]
    assert prediction_sets([[0.34, 0.33, 0.33]], [0, 1, 2], 0.5) == [[]]


@pytest.mark.parametrize("decimals", [0, 1, 2, 6])
def test_the_set_of_rounded_probabilities_is_never_smaller_than_that_of_exact_ones(decimals):
    rng = np.random.default_rng(decimals)
    exact = rng.dirichlet([0.5] * 4, size=500)
    shown = np.round(exact, decimals)
    for threshold in (0.2, 0.5, 0.9375):
        narrow = prediction_sets(exact.tolist(), range(4), threshold)
        wide = prediction_sets(shown.tolist(), range(4), threshold, decimals)
        assert all(set(one) <= set(other) for one, other in zip(narrow, wide, strict=True))


@pytest.mark.parametrize("decimals", [0, 1, 3])
def test_the_interval_of_a_rounded_number_holds_that_of_the_exact_one(decimals):
    exact = np.random.default_rng(0).normal(size=500) * 100
    shown = np.round(exact, decimals).tolist()
    pairs = zip(intervals(exact.tolist(), 1.5), intervals(shown, 1.5, decimals), strict=True)
    assert all(wide[0] <= narrow[0] and narrow[1] <= wide[1] for narrow, wide in pairs)
    assert half_step(None) == 0


def test_where_some_probabilities_are_withheld_a_set_is_told_only_if_the_others_settle_it():
    classes = ["a", "b", "c"]
    # No withheld one is larger than 0.2, and 0.2 is not enough.
    assert prediction_sets([[0.7, 0.2, None]], classes, 0.5) == [["a"]]
    # A withheld one may be as large as 0.3, which would be.
    assert prediction_sets([[0.7, None, None]], classes, 0.5) == [None]
    assert prediction_sets([[0.4, 0.3, None]], classes, 0.7) == [None]
    assert prediction_sets([[None, None, None]], classes, 0.7) == [None]


def test_what_the_rules_hide_changes_nothing_that_is_told():
    """Two answers that look alike to a caller have the same set, whatever was hidden."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        exact = rng.dirichlet([0.5] * 4)
        other = np.round(exact, 1) + rng.uniform(-0.04, 0.04, size=4)
        seen = [np.round(each, 1).tolist() for each in (exact, other)]
        assert seen[0] == seen[1]
        assert prediction_sets([seen[0]], range(4), 0.7, 1) == prediction_sets(
            [seen[1]], range(4), 0.7, 1
        )


def test_a_card_gives_back_what_was_written():
    section = Section(MADE.to_public(), MADE.to_private())
    made = replace(card(Feature("a"), Feature("b")), sections={"uncertainty": section})
    found = calibration_of(made)

    assert (found.rows, found.known_rows, found.digest) == (100, 3, "d" * 64)
    assert (found.thresholds, found.distances) == (MADE.thresholds, MADE.distances)
    assert found.distance(TABLE).tolist() == MADE.distance(TABLE).tolist()
    assert calibration_of(card(Feature("a"))) is None


def test_clients_see_what_is_promised_and_not_by_which_numbers():
    assert MADE.to_public() == {
        "calibration_rows": 100,
        "coverages": [0.8, 0.9],
        "false_flag_rates": [0.05],
    }
    assert "0.25" not in json.dumps(MADE.to_public())


@pytest.mark.parametrize(
    ("public", "private"),
    [
        ({"more": 1}, {}),
        ({}, {"more": 1}),
        ({"calibration_rows": 0}, {}),
        ({"calibration_rows": True}, {}),
        ({"coverages": [0.8]}, {}),
        ({"coverages": [0.8, 0.5]}, {}),
        ({"false_flag_rates": []}, {"distances": []}),
        ({}, {"thresholds": [0.25, -0.5]}),
        ({}, {"thresholds": [0.25, float("inf")]}),
        ({}, {"thresholds": [0.25, "0.5"]}),
        ({}, {"known_rows": 101}),
        ({}, {"digest": None}),
        ({}, {"distance": None}),
    ],
)
def test_attack_a_section_that_was_changed_is_refused(public, private):
    with pytest.raises((ValueError, TypeError)):
        read_calibration({**MADE.to_public(), **public}, {**MADE.to_private(), **private}, 2)
