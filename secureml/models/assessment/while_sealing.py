"""The short assessment, made of a model that is being sealed: a few numbers for its card."""

from __future__ import annotations

from typing import Any

import numpy as np

from secureml.models.assessment.assess import SHORT, NotAssessed, assess
from secureml.models.assessment.report import for_card
from secureml.models.card import Card
from secureml.models.card_section import Training
from secureml.models.serving.handle import ModelHandle


def assess_for_card(card: Card, training: Training) -> dict[str, Any]:
    """Return what a card says of what its model gives away.

    Nothing without a table, with a small one, or where no attack fits the model. The seed is of the
    model: sealed again, it gives the same numbers.
    """
    if not training.columns:
        return {}
    # A handle of its own kind: what is asked here is what will be served.
    handle = ModelHandle(card, training.estimator)
    generator = np.random.default_rng(int(card.digest[:16], 16))
    try:
        return for_card(assess(handle, training.rows(), SHORT, generator))
    except NotAssessed:
        return {}
