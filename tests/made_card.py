"""A card of any features, for tests that need no model behind it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from plugins.input_rules.rule import Rule
from secureml.models.card import LIBRARIES, Card, Feature, Golden, Section


def card(*features: Feature, container: Any = "array", rules: tuple[Rule, ...] = ()) -> Card:
    """Return a card with these features and rules."""
    written = {"rules": [asdict(rule) for rule in rules]}
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
        source_digest="1" * 64,
        golden=Golden(((0,),), (0,), None),
        sections={"input_rules": Section(public=written)} if rules else {},
    )
