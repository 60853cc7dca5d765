"""What drift is measured against is signed with the model and shown to nobody."""

from __future__ import annotations

import pytest

from plugins.anomaly.card_section import BinsSection
from secureml.kit.cards import Feature, Section, Training
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
