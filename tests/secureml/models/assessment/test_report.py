"""What an assessment found, written down."""

from __future__ import annotations

import json
from dataclasses import replace

from secureml.models.assessment.evasion import Evasion
from secureml.models.assessment.report import as_json, for_card
from secureml.models.card import Card, Feature
from tests.made_card import card

from .made_report import report


def test_everything_is_json_without_infinities():
    far = Evasion((), (), 4, 6, 900)
    text = json.dumps(as_json(report(evasion=far)), allow_nan=False)
    assert json.loads(text)["evasion"]["median_distance"] is None


def test_json_has_every_part_and_says_what_is_missing():
    found = as_json(report(membership=None, missing={"membership": "no holdout"}))
    assert found.keys() >= {"extraction", "evasion", "inversion", "questions", "forms"}
    assert found["not_measured"] == {"membership": "no holdout"}
    assert "membership" not in found
    assert found["extraction"]["curves"][0] == {
        "attacker": "attacker A",
        "class": "A",
        "form": "labels",
        "questions_to_90_percent": 400,
        "points": [[20, 0.8], [50, 0.8], [100, 0.8], [200, 0.8], [400, 0.95]],
    }


def test_a_card_has_a_few_numbers_and_can_be_read_back():
    found = for_card(report())
    assert found["extraction"]["labels"] == {
        "questions_to_90_percent": 200, "best": 0.95, "asked_at_most": 400,
    }  # fmt: skip
    assert found["evasion"] == {"median_distance": 1.25, "rows": 4}
    assert found["inversion"]["baseline"] == 0.4
    assert len(json.dumps(found)) < 1000
    written = replace(card(Feature("a")), assessment=found).to_json()
    assert Card.from_json(written).assessment == found
