"""A model verified without being loaded: its signature, and that its card belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

from secureml.models.artifact.version_files import Artifact, ModelRefused
from secureml.models.card import Card
from secureml.models.card_section import Sections, check_sections
from secureml.models.serving.verification import Verifier, check_card, check_versions


def verified_card(artifact: Artifact, verifiers: Sequence[Verifier], sections: Sections) -> Card:
    """Return the card of a model that all plugins have verified; raises ModelRefused.

    What else is proved of a model is proved by each worker that loads it.
    """
    try:
        for verify in verifiers:
            verify(artifact)
        card = Card.from_json(artifact.card_bytes)
        check_card(artifact, card)
        check_sections(card, sections)
        check_versions(card)
    except ModelRefused as refused:
        raise refused.of(artifact.name, artifact.version) from refused.__cause__
    return card
