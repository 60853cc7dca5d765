"""The envelope has four keys, and what the routes answer is what they say."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.open_inference.schemas import InferRequest


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"inputs": None},
        {"inputs": [], "id": None},
        {"inputs": [], "id": 1},
        {"inputs": [], "id": ""},
        {"inputs": [], "id": "x" * 257},
        {"inputs": [], "parameters": None},
        {"inputs": [], "parameters": []},
        {"inputs": [], "outputs": None},
        {"inputs": [], "instances": [[1]]},
    ],
)
def test_an_envelope_of_anything_else_is_refused(envelope):
    with pytest.raises(ValidationError):
        InferRequest().load(envelope)


def test_only_the_inputs_are_demanded():
    whole = {"inputs": [], "id": "7", "parameters": {}, "outputs": []}
    assert InferRequest().load({"inputs": []}) == {"inputs": []}
    assert InferRequest().load(whole) == whole
