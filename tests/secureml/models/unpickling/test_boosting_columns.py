"""Boosting over categories must keep exactly the encoder that scikit-learn builds for it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.consistency import check_consistency

ROWS = np.c_[np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3]


@pytest.fixture
def model():
    boosting = HistGradientBoostingClassifier(max_iter=2, categorical_features=[2])
    return boosting.fit(ROWS, np.arange(60) % 2)


def put(place, value):
    def change(encoder):
        steps = [list(step) for step in encoder.transformers_]
        steps[place[0]][place[1]] = value
        encoder.transformers_ = [tuple(step) for step in steps]

    return change


NO_COLUMN = np.zeros(3, bool)
CHANGES = {
    "columns left out": put((0, 2), NO_COLUMN),
    "columns chosen by number": put((0, 2), [2]),
    "another encoder": put((0, 1), StandardScaler()),
    "another check": put((1, 1), StandardScaler()),
    "a rest that stays": put((2, 1), "passthrough"),
    "other columns by name": lambda encoder: encoder._transformer_to_input_indices.update(
        encoder=[]
    ),
    "weights": lambda encoder: setattr(encoder, "transformer_weights", {"encoder": 1}),
    "a sparse table": lambda encoder: setattr(encoder, "sparse_output_", True),
}


def test_the_encoder_of_scikit_learn_is_taken(model):
    check_consistency(model)


@pytest.mark.parametrize("case", CHANGES)
def test_another_encoder_is_refused(model, case):
    CHANGES[case](model._preprocessor)

    with pytest.raises(ModelRefused, match="_preprocessor"):
        check_consistency(model)
