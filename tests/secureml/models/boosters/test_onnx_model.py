"""A model in ONNX is sealed, served and answered as onnxruntime answers it."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters import onnx_model
from secureml.models.sealing import packaging
from secureml.models.serving.registry import Registry
from tests import onnx_models
from tests.data_forms import convert_here
from tests.optional_packages import need

ROWS = np.random.default_rng(3).normal(size=(30, 2))


@pytest.fixture
def seal(tmp_path):
    need("onnxruntime")

    def seal_it(model, table=None, target=None):
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        place = packaging.SealTarget(
            tmp_path / "models", signature.generate_key(), lambda: 0.0, convert=convert_here
        )
        data = None
        if table is not None:
            data = tmp_path / "t.csv"
            table.to_csv(data, index=False)
        order = packaging.Order(tmp_path / "m.onnx", "m", data, target)
        card = packaging.seal(order, place).card
        return card, Registry(tmp_path / "models").prove("m", card.version)

    return seal_it


def answers(model, given):
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)


def test_a_regressor_answers_as_onnxruntime_does(seal):
    model = onnx_models.regressor()
    card, handle = seal(model)

    assert (card.kind, len(card.features)) == ("regressor", 2)
    assert card.versions["onnxruntime"] == need("onnxruntime").__version__
    (theirs,) = answers(model, {"X": ROWS.astype(np.float32)})
    assert handle.predict(handle.read(ROWS.tolist())).predictions == theirs[:, 0].tolist()


@pytest.mark.parametrize("labels", [(3, 5, 9), ("a", "b", "c")])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_classifier_answers_as_onnxruntime_does(seal, labels, zipped):
    model = onnx_models.classifier(labels, zipped=zipped)
    card, handle = seal(model)
    found = handle.predict(handle.read(ROWS.tolist()))
    label, shares = answers(model, {"X": ROWS.astype(np.float32)})
    if zipped:
        shares = np.array([[row[one] for one in labels] for row in shares])

    assert (card.kind, card.classes) == ("classifier", labels)
    assert found.predictions == label.tolist()
    assert found.probabilities == shares.tolist()


def test_a_model_with_an_input_for_each_column_takes_them_by_name(seal):
    frame = pd.DataFrame({"months": np.arange(60.0), "plan": ["basic", "plus", "pro"] * 20})
    model = onnx_models.of_columns()
    card, handle = seal(model, frame.assign(answer=1.0), "answer")

    assert next((one.name, one.dtype) for one in card.features) == ("plan", "category")
    found = handle.predict(handle.read([{"months": 7, "plan": "pro"}])).predictions
    assert found == [9.0]


def test_it_works_in_one_thread(monkeypatch):
    onnxruntime = need("onnxruntime")
    seen = []
    honest = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda content, sess_options, providers: (
            seen.append(
                (sess_options.intra_op_num_threads, sess_options.inter_op_num_threads, providers)
            )
            or honest(content, sess_options=sess_options, providers=providers)
        ),
    )
    onnx_model.model_of(onnx_models.regressor().SerializeToString())

    assert set(map(str, seen)) == {"(1, 1, ['CPUExecutionProvider'])"}


def test_onnxruntime_that_is_not_installed_is_told_with_what_to_install(monkeypatch):
    content = onnx_models.regressor().SerializeToString()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelRefused) as refused:
        onnx_model.model_of(content)

    assert "script/extras onnx" in refused.value.fix


def test_inputs_that_are_no_table_are_told_with_the_way_out():
    need("onnxruntime")
    model = onnx_models.regressor()
    model.graph.input[0].type.tensor_type.shape.dim[1].ClearField("dim_value")
    with pytest.raises(ModelRefused) as refused:
        onnx_model.model_of(model.SerializeToString())

    assert "'X' tensor(float)" in refused.value.message
    assert "[None, columns]" in refused.value.fix


def test_attack_what_onnxruntime_refuses_is_one_refusal():
    need("onnxruntime")
    model = onnx_models.regressor()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelRefused, match="is refused by onnxruntime"):
        onnx_model.model_of(model.SerializeToString())
