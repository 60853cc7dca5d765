"""A model file is what its content says, whatever its name."""

from __future__ import annotations

import io
import pickle

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.model_file import Names, load
from tests.optional_packages import need

ROWS, ANSWERS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]]), np.array([0, 0, 1, 1])
MODEL = LogisticRegression().fit(ROWS, ANSWERS)


def joblib_file(estimator, **words):
    file = io.BytesIO()
    joblib.dump(estimator, file, **words)
    return file.getvalue()


WRITTEN = {
    "joblib": lambda: joblib_file(MODEL),
    **{
        f"joblib {how}": lambda how=how: joblib_file(MODEL, compress=(how, 3))
        for how in ("zlib", "gzip", "bz2", "lzma", "xz")
    },
    **{
        f"pickle of protocol {protocol}": lambda protocol=protocol: pickle.dumps(MODEL, protocol)
        for protocol in (2, 3, 4, 5)
    },
    "cloudpickle": lambda: cloudpickle.dumps(MODEL),
    "cloudpickle of a function by reference": lambda: cloudpickle.dumps(
        make_pipeline(FunctionTransformer(np.log1p), MODEL)
    ),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_kind_of_pickle_is_read(kind):
    found = load(WRITTEN[kind](), Names())

    found = found.steps[-1][1] if hasattr(found, "steps") else found
    assert found.predict_proba(ROWS).tobytes() == MODEL.predict_proba(ROWS).tobytes()


def test_what_joblib_compressed_with_lz4_is_read():
    need("lz4")
    found = load(joblib_file(MODEL, compress=("lz4", 3)), Names())

    assert found.predict_proba(ROWS).tobytes() == MODEL.predict_proba(ROWS).tobytes()


def test_lz4_that_is_not_installed_is_told_with_what_to_install(monkeypatch):
    need("lz4")
    content = joblib_file(MODEL, compress=("lz4", 3))
    monkeypatch.setitem(__import__("sys").modules, "lz4.frame", None)
    with pytest.raises(ModelRefused) as refused:
        load(content, Names())

    assert "the package lz4 is not installed here" in refused.value.message
    assert "script/extras lz4" in refused.value.fix


def test_attack_lz4_that_unpacks_without_end_is_refused():
    need("lz4")
    from lz4 import frame

    with pytest.raises(ModelRefused, match="unpacks to more than"):
        load(frame.compress(bytes(2**29)), Names())


def test_code_by_value_is_refused_by_its_name_with_the_way_into_a_module():
    model = make_pipeline(FunctionTransformer(lambda rows: rows * 2), MODEL)
    with pytest.raises(ModelRefused) as refused:
        load(cloudpickle.dumps(model), Names())

    assert "cloudpickle.cloudpickle._make_function at FunctionTransformer.func" in str(
        refused.value
    )
    assert "has put the code of a function or class into the file" in refused.value.message
    assert "move lambdas, functions and classes of your own into a module" in refused.value.fix
    assert "seal with --allow ourfeatures.NAME" in refused.value.fix


def test_attack_protocol_2_names_no_other_codec():
    """`_codecs.encode` looks a codec up by name, and a codec may unpack or import."""
    hostile = b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00abcX\x03\x00\x00\x00hex\x86R."
    with pytest.raises(ModelRefused, match="looks up whatever codec it is given"):
        load(hostile, Names())
