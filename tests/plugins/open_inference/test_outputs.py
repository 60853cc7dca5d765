"""Results as tensors: the values of the other route, and what was withheld stays away."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from plugins.open_inference.outputs import offered, outputs_of, written
from plugins.open_inference.selection import Selection
from secureml import Result


def card(classes=("no", "yes"), outputs=0, predictions=(), has_probabilities=True):
    golden = SimpleNamespace(predictions=predictions)
    return SimpleNamespace(
        classes=classes, outputs=outputs, golden=golden, has_probabilities=has_probabilities
    )


def selected(*names, binary=False):
    return Selection("", dict.fromkeys(names, binary))


RESULT = Result(["no", "yes"], [[0.75, 0.25], [0.1, None]], ("no", "yes"))


def test_predictions_and_probabilities_are_flat_with_their_shape():
    found = outputs_of(RESULT, card())
    listed, parts = written(found, selected("probabilities", "predictions"))
    assert listed == [
        {
            "name": "probabilities", "datatype": "FP64", "shape": [2, 2],
            "data": [0.75, 0.25, 0.1, None],
        },
        {"name": "predictions", "datatype": "BYTES", "shape": [2], "data": ["no", "yes"]},
    ]  # fmt: skip
    assert list(parts) == []


def test_in_binary_their_sizes_are_told_and_a_withheld_value_is_nan():
    listed, parts = written(outputs_of(RESULT, card()), selected("probabilities", binary=True))
    assert listed[0]["parameters"] == {"binary_data_size": 32}
    assert "data" not in listed[0]
    found = np.frombuffer(parts[0])
    assert found[:3].tolist() == [0.75, 0.25, 0.1]
    assert np.isnan(found[3])


def test_withheld_probabilities_are_no_output():
    found = outputs_of(Result(["no"], None, ("no", "yes")), card())
    assert written(found, selected("predictions", "probabilities"))[0] == [
        {"name": "predictions", "datatype": "BYTES", "shape": [1], "data": ["no"]}
    ]
    assert written(found, selected("probabilities")) == ([], [])


def test_several_values_for_a_row_are_a_matrix():
    many = card(None, outputs=2, predictions=((1.0, 2.0),), has_probabilities=False)
    found = outputs_of(Result([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), many)["predictions"]
    assert (found.shape, found.values) == ([3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert offered(many) == ("predictions",)
