"""A file of another library is told by what it is, with what to seal in its place."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.foreign_files import check_kind
from tests.optional_packages import need

ROWS, ANSWERS = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


@pytest.mark.parametrize(
    ("content", "says", "fix"),
    [
        (b"\x89HDF\r\n\x1a\n", "Keras", "ONNX"),
        (b"GGUF\x03\0\0\0", "GGUF", "a table"),
        (b"tree\nversion=v4\n", "LightGBM's own text", "LGBMClassifier"),
        (b"CBM1\0\0", "CatBoost's own file", "CatBoostClassifier"),
        (b'{"learner":{"attributes":{}', "XGBoost's own file", "XGBClassifier"),
        (b'<?xml version="1.0"?><PMML', "PMML", "made of"),
        (b'{"a": 1}', "JSON", "joblib.dump"),
        (pickle.dumps([1], 0), "protocol 0 or 1", "protocol=4"),
        (pickle.dumps({"a": np.float64(1)}, 1), "protocol 0 or 1", "protocol=4"),
    ],
)
def test_what_a_file_is_and_what_to_seal_instead_is_told(content, says, fix):
    with pytest.raises(ModelRefused) as refused:
        check_kind(content)

    assert refused.value.check == "format"
    assert says in refused.value.message
    assert fix in refused.value.fix


def test_a_model_that_xgboost_saved_is_told(tmp_path):
    xgboost = need("xgboost")
    model = xgboost.XGBClassifier(n_estimators=2).fit(ROWS, ANSWERS)
    for name in ("m.json", "m.ubj"):
        model.save_model(tmp_path / name)
        with pytest.raises(ModelRefused, match="XGBoost's own file"):
            check_kind((tmp_path / name).read_bytes())


@pytest.mark.parametrize("content", [b"", b"\x80\x05.", b"\x78\x9c", b"\x1f\x8b", b"a,b\n"])
def test_what_may_be_a_pickle_or_is_nothing_known_is_left_to_the_reader(content):
    check_kind(content)
