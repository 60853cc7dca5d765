"""What drift is measured against is learned from the table, signed, and read strictly."""

from __future__ import annotations

import numpy as np
import pytest

from plugins.anomaly.card_section import BinsSection
from plugins.anomaly.feature_bins import LEAST_ROWS, LEVELS, bins_of, learn_bins
from secureml.kit.cards import Feature, Section, Training
from tests.made_card import card

FEATURES = (Feature("a"), Feature("word", "text"), Feature("n", "integer", missing="allow"))
CARD = card(*FEATURES)
COLUMNS = {
    "a": np.random.default_rng(0).normal(size=200).tolist(),
    "word": ["x"] * 200,
    "n": [None if n % 2 else n for n in range(200)],
}


def training(columns):
    return Training(CARD, None, columns)


def test_edges_are_the_quantiles_of_the_rows_in_which_a_feature_is_not_missing():
    found = learn_bins(training(COLUMNS))

    assert found.columns == (0, 2)
    assert found.edges[0] == pytest.approx(np.quantile(COLUMNS["a"], LEVELS), rel=1e-5)
    assert found.edges[1] == pytest.approx(np.quantile(range(0, 200, 2), LEVELS), rel=1e-5)


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": [1.0] * (LEAST_ROWS - 1), "word": ["x"] * 29, "n": [None] * 29},
    ],
)
def test_without_a_table_or_with_too_few_rows_there_is_no_section(columns):
    assert BinsSection().learn(training(columns), {}) is None


def test_what_is_learned_is_what_is_read():
    section = BinsSection().learn(training(COLUMNS), {})
    made = card(*FEATURES)
    made.sections["anomaly"] = section

    BinsSection().check(section, made)
    assert bins_of(made) == learn_bins(training(COLUMNS))
    assert "sections" not in made.public()
    assert bins_of(CARD) is None


GOOD = {"columns": [0], "edges": [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]}


@pytest.mark.parametrize(
    "change",
    [
        {"columns": []},
        {"columns": [3]},
        {"columns": [-1]},
        {"columns": [True]},
        {"columns": [0, 2]},
        {"edges": [[0.0, 1.0]]},
        {"edges": [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, float("inf")]]},
        {"edges": [[0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 5.0]]},
        {"edges": ["abcdefg"]},
        {"edges": [7]},
        {"more": 1},
    ],
    ids=str,
)
def test_attack_bins_that_were_changed_are_refused_at_the_start(change):
    BinsSection().check(Section(private=GOOD), CARD)
    with pytest.raises((ValueError, TypeError)):
        BinsSection().check(Section(private={**GOOD, **change}), CARD)
