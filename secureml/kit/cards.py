"""A section of the card, for a plugin that learns something of each model when it is sealed.

Needed where a plugin sets ``card_section``: it is a `CardSection`, which makes a `Section` of a
`Training`. `Feature` is a column of the card, for tests that make a card of their own.
Imports NumPy.
"""

from __future__ import annotations

from secureml.models.card import Feature, Section
from secureml.models.card_section import CardSection, Training

__all__ = ["CardSection", "Feature", "Section", "Training"]
