"""What drift is measured against is signed with the model and shown to nobody."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from plugins.anomaly.card_section import BinsSection
from plugins.anomaly.drift import Bins, population_stability
from plugins.anomaly.feature_bins import LEAST_ROWS, bins_of
from secureml import ModelRefused
from secureml.kit.cards import Feature, Section, Training
from secureml.models.card import Card
from secureml.models.card_section import check_sections, learn_sections
from tests.made_card import card

CARD = card(Feature("a"))
GOOD = {"columns": [0], "edges": [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]}


def test_a_table_makes_a_section_and_no_table_makes_none():
    rows = [float(n) for n in range(100)]
    section = BinsSection().learn(Training(CARD, None, {"a": rows}), {})

    assert section.private["columns"] == [0]
    assert len(section.private["edges"][0]) == 7
    BinsSection().check(section, CARD)
    assert BinsSection().learn(Training(CARD, None), {}) is None


def test_bins_that_clients_could_see_are_refused():
    with pytest.raises(ValueError, match="not public"):
        BinsSection().check(Section(public={"x": 1}, private=GOOD), CARD)


MIXED = card(
    Feature("amount"),
    Feature("word", "text"),
    Feature("kind", "category", categories=("x", "y")),
    Feature("count", "integer"),
    Feature("flag", "boolean"),
)
TABLE = {
    "amount": np.random.default_rng(0).normal(size=200).tolist(),
    "word": ["x"] * 200,
    "kind": ["x", "y"] * 100,
    "count": list(range(200)),
    "flag": [True, False] * 100,
}
SECTIONS = {"anomaly": BinsSection()}


def sealed(made, columns):
    """Return a card with what is learned, as it is read from its signed text."""
    learned, notes = learn_sections(Training(made, None, columns), SECTIONS, {})
    assert notes == []
    return Card.from_json(replace(made, sections=learned).to_json())


def test_the_places_are_those_of_the_features_that_are_numbers():
    names = [feature.name for feature in MIXED.features]
    found = BinsSection().learn(Training(MIXED, None, TABLE), {}).private["columns"]
    assert [names[place] for place in found] == [
        feature.name for feature in MIXED.features if feature.is_number
    ]
    assert names.index("word") not in found
    assert names.index("kind") not in found


def test_what_is_learned_survives_the_signed_card_and_is_accepted_at_the_start():
    read = sealed(MIXED, TABLE)
    check_sections(read, SECTIONS)
    assert bins_of(read) == bins_of(
        replace(MIXED, sections={"anomaly": BinsSection().learn(Training(MIXED, None, TABLE), {})})
    )


def test_clients_see_nothing_of_the_training_data():
    read = sealed(MIXED, TABLE)
    assert read.sections["anomaly"].public == {}
    assert "edges" not in json.dumps(read.public())
    assert "anomaly" not in json.dumps(read.public())


def test_rows_of_the_table_have_not_moved_by_the_card_that_was_learned_from_it():
    read = sealed(MIXED, TABLE)
    bins = Bins(read.features, bins_of(read))
    counts = bins.empty()
    rows = np.array([[a, 0, 0, n, f] for a, n, f in zip(
        TABLE["amount"], TABLE["count"], TABLE["flag"], strict=True
    )], dtype=float)  # fmt: skip
    bins.add(counts, rows)
    assert all(each.psi < 0.1 for each in population_stability(bins, counts))


@pytest.mark.parametrize("odd", [None, math.inf, -math.inf, math.nan])
def test_values_that_are_no_number_are_no_part_of_the_edges(odd):
    """Edges at them would stop the load of a model that was sealed without a complaint."""
    made = card(Feature("a", missing="allow"))
    values = [float(number) for number in range(100)]
    plain = BinsSection().learn(Training(made, None, {"a": values}), {})
    mixed = BinsSection().learn(Training(made, None, {"a": [odd, *values, odd]}), {})
    assert mixed == plain
    check_sections(sealed(made, {"a": [odd, *values]}), SECTIONS)


@pytest.mark.parametrize(("rows", "learned"), [(LEAST_ROWS - 1, False), (LEAST_ROWS, True)])
def test_a_feature_with_too_few_values_has_no_bins_and_its_neighbour_has(rows, learned):
    made = card(Feature("few", missing="allow"), Feature("many"))
    columns = {"few": [1.0] * rows + [None] * 10, "many": [float(n) for n in range(rows + 10)]}
    section = BinsSection().learn(Training(made, None, columns), {})
    assert section.private["columns"] == ([0, 1] if learned else [1])


def test_one_value_alone_and_values_of_any_size_make_bins_that_are_accepted():
    made = card(Feature("same"), Feature("large"), Feature("small"))
    rng = np.random.default_rng(3)
    columns = {
        "same": [7.0] * 100,
        "large": (rng.normal(size=100) * 1e300).tolist(),
        "small": (rng.normal(size=100) * 1e-300).tolist(),
    }
    check_sections(sealed(made, columns), SECTIONS)


def test_a_card_without_a_section_is_accepted():
    check_sections(CARD, SECTIONS)
    assert bins_of(CARD) is None


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (Section(public={"x": 1}, private=GOOD), "not public"),
        (Section(private={}), "other keys"),
        (Section(private={**GOOD, "columns": [1]}), "none of the model's features"),
        (Section(private={**GOOD, "columns": [0, 0]}), "differ in number"),
        (Section(private={**GOOD, "edges": [[0.0] * 6]}), "seven rising numbers"),
        (Section(private={**GOOD, "edges": None}), ""),
        (Section(private={**GOOD, "columns": 7}), ""),
    ],
)
def test_attack_a_section_that_was_changed_stops_the_load_with_its_plugin_and_a_fix(
    section, reason
):
    with pytest.raises(ModelRefused) as refused:
        check_sections(replace(CARD, sections={"anomaly": section}), SECTIONS)
    assert "the section of anomaly cannot be read" in str(refused.value)
    assert reason in str(refused.value)
    assert "seal the model again" in str(refused.value)


def test_sealing_with_other_options_of_other_plugins_is_the_same():
    section = Section(private=GOOD)
    assert BinsSection().is_same(section, {"rules": ["a > 0"]})
    assert BinsSection().options == ()
