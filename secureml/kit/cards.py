"""A section of the card, for a plugin that learns something of each model when it is sealed.

Needed where a plugin sets ``card_section``: it is a `CardSection`, which makes a `Section` of a
`Training`, and a `Labelled` is what that reads of another table, with true answers. `Feature` is a
column of the card, for tests that make a card of their own.
Imports NumPy.
"""

from __future__ import annotations

from secureml.models.card import Feature, Section
from secureml.models.card_section import CardSection, Labelled, Training

__all__ = ["CardSection", "Feature", "Labelled", "Section", "Training"]
