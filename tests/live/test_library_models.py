"""Models of other libraries and one in ONNX, sealed in confinement and served.

What is answered over HTTPS is what the model answers here, to the bit; and the server has read
no pickle, which its own hook would have ended.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from live_serving import Instance, Served, ask

from secureml.models.boosters.onnx_model import model_of
from tests import onnx_models
from tests.library_models import ROWS, fitted
from tests.optional_packages import need

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SERVED = {
    "xgb": "xgboost of three classes",
    "lgb": "lightgbm of three classes",
    "cat": "catboost of three classes",
    "imb": "imblearn over-sampled",
}
ONNX = "onnx"


def test_models_of_other_libraries_answer_over_https_as_they_do_here(tmp_path):
    models = {name: fitted(recipe) for name, recipe in SERVED.items()}
    instance = Instance(tmp_path / "i")
    instance.run("init")
    for name, model in models.items():
        joblib.dump(model, tmp_path / f"{name}.joblib")
        instance.run("models", "seal", str(tmp_path / f"{name}.joblib"), "--name", name)
    need("onnxruntime")
    content = onnx_models.classifier().SerializeToString()
    (tmp_path / "model.onnx").write_bytes(content)
    instance.run("models", "seal", str(tmp_path / "model.onnx"), "--name", ONNX)
    key = instance.key("everyone")
    server = Served(tmp_path / "i").ready()
    try:
        with closing(server.connect()) as connection:
            for name, model in models.items():
                body = {"instances": ROWS[:20].tolist()}
                answer = ask(connection, "POST", f"/v1/models/{name}/predict", key, body)
                said = answer.json()
                assert answer.status == 200, said
                assert said["predictions"] == np.ravel(model.predict(ROWS[:20])).tolist()
                assert said["probabilities"] == model.predict_proba(ROWS[:20]).tolist()
            body = {"instances": ROWS[:20, :2].tolist()}
            said = ask(connection, "POST", f"/v1/models/{ONNX}/predict", key, body).json()
            found = model_of(content)
            assert said["predictions"] == found.predict(ROWS[:20, :2]).tolist()
            assert said["probabilities"] == found.predict_proba(ROWS[:20, :2]).tolist()
    finally:
        server.stop()
