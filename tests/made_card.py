"""A card of any features, for tests that need no model behind it."""

from __future__ import annotations

from typing import Any

from secureml.models.card import LIBRARIES, Card, Feature, Golden
from secureml.models.rule import Rule


def card(*features: Feature, container: Any = "array", rules: tuple[Rule, ...] = ()) -> Card:
    """Return a card with these features and rules."""
    return Card(
        name="m",
        version="1",
        created="2026-01-01T00:00:00Z",
        kind="regressor",
        features=features,
        classes=None,
        has_probabilities=False,
        container=container,
        source="none",
        versions=dict.fromkeys(LIBRARIES, "1"),
        globals=(),
        digest="0" * 64,
        golden=Golden(((0,),), (0,), None),
        rules=rules,
    )
