"""What a request wants back, and nothing that nobody would do for it."""

from __future__ import annotations

import pytest

from plugins.open_inference.refusal import TensorsRefused
from plugins.open_inference.selection import read_selection

OFFERED = ("predictions", "probabilities")


@pytest.mark.parametrize(
    ("envelope", "outputs"),
    [
        ({}, {"predictions": False, "probabilities": False}),
        ({"outputs": []}, {"predictions": False, "probabilities": False}),
        (
            {"parameters": {"binary_data_output": True}},
            {"predictions": True, "probabilities": True},
        ),
        ({"outputs": [{"name": "probabilities"}]}, {"probabilities": False}),
        (
            {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
            {"probabilities": True},
        ),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [
                    {"name": "probabilities"},
                    {"name": "predictions", "parameters": {"binary_data": False}},
                ],
            },
            {"probabilities": True, "predictions": False},
        ),
    ],
)
def test_outputs_are_those_selected_in_the_form_they_are_wanted(envelope, outputs):
    found = read_selection(envelope, OFFERED)
    assert list(found.outputs.items()) == list(outputs.items())
    assert found.request_id == ""


@pytest.mark.parametrize(
    ("envelope", "path", "rule"),
    [
        ({"outputs": {}}, "/outputs", "type"),
        ({"outputs": [1]}, "/outputs/0", "type"),
        ({"outputs": [{"name": "x"}]}, "/outputs/0/name", "unknown_output"),
        ({"outputs": [{}]}, "/outputs/0/name", "unknown_output"),
        ({"outputs": [{"name": ["predictions"]}]}, "/outputs/0/name", "unknown_output"),
        ({"outputs": [{"name": "predictions", "x": 1}]}, "/outputs/0", "unknown_key"),
        (
            {"outputs": [{"name": "predictions"}, {"name": "predictions"}]},
            "/outputs/1/name",
            "duplicate",
        ),
        (
            {"outputs": [{"name": "predictions", "parameters": {"classification": 2}}]},
            "/outputs/0/parameters",
            "unknown_parameter",
        ),
        (
            {"outputs": [{"name": "predictions", "parameters": {"binary_data": 1}}]},
            "/outputs/0/parameters/binary_data",
            "type",
        ),
        (
            {"parameters": {"binary_data_output": "true"}},
            "/parameters/binary_data_output",
            "type",
        ),
        (
            {"parameters": {"binary_data_output": None}},
            "/parameters/binary_data_output",
            "type",
        ),
        ({"parameters": {"sequence_id": 1}}, "/parameters", "unknown_parameter"),
        ({"parameters": {"priority": 1}}, "/parameters", "unknown_parameter"),
    ],
)
def test_what_would_be_ignored_is_refused(envelope, path, rule):
    with pytest.raises(TensorsRefused) as wrong:
        read_selection(envelope, OFFERED)
    assert wrong.value.faults == [(path, rule)]


def test_a_model_without_probabilities_does_not_offer_them():
    with pytest.raises(TensorsRefused):
        read_selection({"outputs": [{"name": "probabilities"}]}, ("predictions",))
