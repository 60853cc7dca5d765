"""The reference profile of a model, on its signed card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from secureml import Card
from secureml.kit.cards import CardSection, Section, Training

from .learn_profile import learn_profile
from .reference_profile import ReferenceProfile, read_profile


class ProfileSection(CardSection):
    """A `ReferenceProfile`, none of it public: it says which rows are suspicious."""

    def learn(self, training: Training, options: Mapping[str, Any]) -> Section | None:
        """Return the profile of the table; None without one, or with too few different rows."""
        profile = learn_profile(training) if training.columns else None
        return None if profile is None else Section(private=_written(profile))

    def check(self, section: Section, card: Card) -> None:
        """Refuse a profile that does not fit the card's features."""
        if section.public:
            raise ValueError("a profile is not public")
        read_profile(section.private, len(card.features))


def _written(profile: ReferenceProfile) -> dict[str, Any]:
    return {name: _listed(value) for name, value in asdict(profile).items()}


def _listed(value: Any) -> Any:
    return [_listed(each) for each in value] if isinstance(value, tuple) else value
