"""Rows of any values that a card allows are no larger than they are said to be."""

from __future__ import annotations

import json

import pytest

from secureml.models.card import Feature
from secureml.models.rows.row_size import row_bytes
from tests.made_card import card

FEATURES = (
    Feature('größe "x"'),
    Feature("n", "integer"),
    Feature("b", "boolean"),
    Feature("c", "category", categories=("é", "longer")),
    Feature("d", "date"),
    Feature("s", "integer", categories=(7, 1234), frame_dtype="category"),
    Feature("t", "text"),
)


@pytest.mark.parametrize(
    "values",
    [
        [-1.7976931348623157e308, -(2**63), False, "longer", "2026-01-31T10:00:00.123456", 7, ""],
        [-2.2250738585072014e-308, 0, True, "é", "2026-01-31", 1234, "x" * 200],
    ],
)
def test_no_ordinary_row_takes_more(values):
    row = dict(zip((feature.name for feature in FEATURES), values, strict=True))

    assert len(json.dumps(row)) <= row_bytes(card(*FEATURES)) < 2 * 500
