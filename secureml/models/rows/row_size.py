"""How many bytes of JSON a row of a model takes, when a client sends it by name."""

from __future__ import annotations

import json

from secureml.models.card import Card, Feature

_AROUND = 4  # bytes for a colon, a comma, and a blank after each
# Bytes for a value: a double has up to 24 characters. How long a text is, nobody knows.
_VALUES = {"float": 25, "integer": 25, "boolean": 5, "date": 28, "text": 256}


def row_bytes(card: Card) -> int:
    """Return what an ordinary row takes, at most; texts are taken for short ones."""
    return 4 + sum(map(_cell_bytes, card.features))


def _cell_bytes(feature: Feature) -> int:
    value = _VALUES.get(feature.dtype, 0)
    if feature.dtype == "category":
        value = max((_length(word) for word in feature.categories or ()), default=0)
    return _length(feature.name) + value + _AROUND


def _length(word: str | int) -> int:
    return len(json.dumps(word))
