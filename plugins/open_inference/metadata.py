"""What the protocol says of a server and of a model, from the model's card."""

from __future__ import annotations

from typing import Any

from secureml.kit.protocols import Card

from .datatypes import of_predictions, offered
from .selection import PREDICTIONS, PROBABILITIES

# Of the interface, not of the software: a version of that would help an attacker alone.
SERVER = {"name": "secureml", "version": "2", "extensions": ["binary_tensor_data"]}
PLATFORM = "scikit-learn"


def model_metadata(card: Card) -> dict[str, Any]:
    """Return the metadata of one version of a model.

    An input for each column, in the card's order. -1 is any number of rows.
    """
    inputs = [
        {"name": feature.name, "datatype": offered(feature), "shape": [-1]}
        for feature in card.features
    ]
    columns = [card.outputs] if card.outputs else []
    outputs = [{"name": PREDICTIONS, "datatype": of_predictions(card), "shape": [-1, *columns]}]
    if card.has_probabilities:
        shape = [-1, len(card.classes or ())]
        outputs.append({"name": PROBABILITIES, "datatype": "FP64", "shape": shape})
    return {
        "name": card.name,
        "versions": [card.version],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }
