"""The quantile bins of each numeric feature, on the signed card of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secureml import Card
from secureml.kit.cards import CardSection, Section, Training

from .feature_bins import learn_bins, read_bins


class BinsSection(CardSection):
    """``{"columns": [...], "edges": [[...], ...]}``; not public, it tells of the training data."""

    def learn(self, training: Training, options: Mapping[str, Any]) -> Section | None:
        """Return the bins of the table's numeric columns; None where there is too little."""
        found = learn_bins(training)
        if found is None:
            return None
        edges = [list(edges) for edges in found.edges]
        return Section(private={"columns": list(found.columns), "edges": edges})

    def check(self, section: Section, card: Card) -> None:
        """Refuse bins that do not fit the card's features."""
        if section.public:
            raise ValueError("bins are not public")
        read_bins(section.private, len(card.features))
