"""Census: tells clients on how many rows a model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secureml import Card, Plugin
from secureml.kit.cards import CardSection, Section, Training


class RowCount(CardSection):
    """The number of rows of the training table."""

    def learn(self, training: Training, options: Mapping[str, Any]) -> Section | None:
        """Return the section of a model that is sealed with a table."""
        rows = len(training.rows())
        return Section(public={"rows": rows}) if rows else None

    def check(self, section: Section, card: Card) -> None:
        """Refuse a number of rows that cannot be."""
        if section.public["rows"] < 1:
            raise ValueError("no rows")


class Census(Plugin):
    """Has a section on cards and no phase."""

    name = "census"
    card_section = RowCount()
