"""The short assessment, made of a model that is being sealed: a few numbers for its card."""

from __future__ import annotations

from typing import Any

import numpy as np

from secureml.models.assessment.assess import SHORT, NotAssessed, assess
from secureml.models.assessment.report import for_card
from secureml.models.card import Card
from secureml.models.card_section import Training
from secureml.models.serving.handle import ModelHandle


def assess_for_card(card: Card, training: Training) -> tuple[dict[str, Any], list[str]]:
    """Return what a card says of what its model gives away, and notes for whoever seals.

    Nothing without a table. The seed is of the model: sealed again, it gives the same numbers.
    """
    if not training.columns:
        return {}, []
    # A handle of its own kind: what is asked here is what will be served.
    handle = ModelHandle(card, training.estimator)
    generator = np.random.default_rng(int(card.digest[:16], 16))
    try:
        report = assess(handle, training.rows(), SHORT, generator)
    except NotAssessed as why:
        return {}, [f"what the model gives away was not measured: {why}"]
    return for_card(report), []
