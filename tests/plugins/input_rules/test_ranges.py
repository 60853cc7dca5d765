"""Ranges of training: which values lie beyond, where, and what they are clipped to."""

from __future__ import annotations

import numpy as np
import pytest

from plugins.input_rules.ranges import Ranges
from secureml.models.card import Feature
from secureml.models.rows.reader import RowReader
from tests.made_card import card

BOUNDED = card(Feature("low", "float", 0.0, 10.0), Feature("free"), Feature("h/g", "float", -1, 1))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([5, 1e9, 0], []),
        ([0, 0, -1], []),
        ([10, 0, 1], []),
        ([-0.1, 0, 0], [("/instances/0/0", "below_minimum")]),
        ([11, 0, 1.5], [("/instances/0/0", "above_maximum"), ("/instances/0/2", "above_maximum")]),
    ],
)
def test_a_value_beyond_the_bounds_is_told_by_its_place(row, expected):
    assert Ranges(BOUNDED).faults(RowReader(BOUNDED).read([row]), [row]) == expected


def test_an_object_is_told_by_name():
    instance = {"low": 5, "free": 0, "h/g": -2}
    rows = RowReader(BOUNDED).read([[0, 0, 0], instance])

    assert Ranges(BOUNDED).faults(rows, [[0, 0, 0], instance]) == [
        ("/instances/1/h~1g", "below_minimum")
    ]


def test_a_margin_is_a_share_of_each_range():
    ranges = Ranges(BOUNDED, 0.1)

    assert ranges.faults(np.array([[11.0, 0, 1.2]]), [[11, 0, 1.2]]) == []
    assert ranges.faults(np.array([[11.01, 0, 0]]), [[11.01, 0, 0]])


def test_missing_is_within_bounds_and_words_have_none():
    some = card(Feature("a", "float", 0, 1, missing="allow"), Feature("t", "text"))
    instances = [[None, "x"], [2, "y"]]

    assert Ranges(some).faults(RowReader(some).read(instances), instances) == [
        ("/instances/1/0", "above_maximum")
    ]


def test_range_faults_are_at_most_twenty():
    rows = np.full((100, 3), 99.0)

    assert len(Ranges(BOUNDED).faults(rows, [[99] * 3] * 100)) == 20


def test_a_card_without_ranges_finds_none():
    assert (
        Ranges(card(Feature("a"), Feature("b"), Feature("c"))).faults(
            np.full((1, 3), 1e300), [[1e300] * 3]
        )
        == []
    )
