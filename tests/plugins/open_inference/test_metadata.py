"""The metadata is the card, in the protocol's words, and says nothing of the inside."""

from __future__ import annotations

from plugins.open_inference.metadata import SERVER, model_metadata


def test_columns_and_answers_have_names_datatypes_and_shapes(card_of):
    found = model_metadata(card_of("mixed"))
    assert found == {
        "name": "mixed",
        "versions": ["1"],
        "platform": "scikit-learn",
        "inputs": [
            {"name": "age", "datatype": "INT64", "shape": [-1]},
            {"name": "income", "datatype": "FP64", "shape": [-1]},
            {"name": "member", "datatype": "BOOL", "shape": [-1]},
            {"name": "home", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "predictions", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
    }


def test_several_outputs_are_a_matrix(card_of):
    assert model_metadata(card_of("amounts"))["outputs"] == [
        {"name": "predictions", "datatype": "FP64", "shape": [-1, 2]}
    ]


def test_the_server_names_no_version_of_software():
    assert SERVER["version"] == "2"
