"""The model in a folder of MLflow is found without MLflow, inside the folder and nowhere else."""

from __future__ import annotations

import os
import sys

import cloudpickle
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import packaging
from secureml.models.sealing.mlflow_folder import model_path, open_source
from tests.data_forms import convert_here
from tests.optional_packages import need

PAGE = """\
artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.9.1
mlflow_version: 3.18.0
model_size_bytes: 900
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-01-01 00:00:00.000000'
"""
MODEL = LinearRegression().fit(np.arange(6.0).reshape(3, 2), [1.0, 2.0, 3.0])


@pytest.fixture
def folder(tmp_path):
    need("yaml")
    found = tmp_path / "model"
    found.mkdir()
    (found / "MLmodel").write_text(PAGE)
    (found / "model.pkl").write_bytes(cloudpickle.dumps(MODEL))
    return found


def content(path):
    with os.fdopen(open_source(path), "rb") as file:
        return file.read()


def refusal(path):
    with pytest.raises(ModelRefused) as refused:
        content(path)
    assert refused.value.check == "format"
    return refused.value


def test_the_model_that_the_page_names_is_sealed(folder, tmp_path):
    place = packaging.SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: 0.0, convert=convert_here
    )
    sealed = packaging.seal(packaging.Order(folder, "m"), place)

    assert sealed.card.source_digest == packaging.source_digest(folder / "model.pkl")
    assert sealed.card.kind == "regressor"


def test_a_file_is_its_own_source(folder):
    assert content(folder / "model.pkl") == content(folder)


def test_a_path_below_the_folder_is_followed(folder):
    (folder / "data").mkdir()
    (folder / "model.pkl").rename(folder / "data/model.pkl")
    (folder / "MLmodel").write_text(PAGE.replace(": model.pkl", ": data/model.pkl"))

    assert content(folder) == cloudpickle.dumps(MODEL)


@pytest.mark.parametrize(
    ("page", "path"),
    [
        (PAGE, "model.pkl"),
        (PAGE[: PAGE.index("  sklearn:")], "model.pkl"),
        ("flavors:\n  python_function: {loader_module: mlflow.sklearn, data: m.pkl}\n", "m.pkl"),
        ("flavors:\n  onnx: {data: model.onnx, onnx_version: 1.23.2}\n", "model.onnx"),
    ],
)
def test_the_path_is_that_of_the_flavour(page, path):
    need("yaml")
    assert str(model_path(page.encode())) == path


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("flavors: {}", "no python_function in flavors"),
        ("a: 1", "no flavors in the page"),
        ("- a", "not a page of keys and values"),
        ("flavors: {python_function: {loader_module: mlflow.pytorch}}", "'mlflow.pytorch'"),
        ("flavors: {python_function: {loader_module: [a]}}", "the loader"),
        ("flavors: {sklearn: {pickled_model: 5}}", "no path inside the folder"),
        ("flavors: {sklearn: {pickled_model: ../m.pkl}}", "no path inside the folder"),
        ("flavors: {sklearn: {pickled_model: a/../../m.pkl}}", "no path inside the folder"),
        ("flavors: {sklearn: {pickled_model: /etc/passwd}}", "no path inside the folder"),
        ('flavors: {sklearn: {pickled_model: "m\\0.pkl"}}', "no path inside the folder"),
        ("flavors: {sklearn: {pickled_model: ''}}", "no path inside the folder"),
        ("flavors: {sklearn: {pickled_model: .}}", "no path inside the folder"),
        ("a: &x {b: 1}\nc: *x", "anchor"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 1\na: 2", "given twice"),
        ("? [a]\n: 1", "is no text"),
        ("[" * 300, "nested too deeply"),
        ("\xff", "cannot be read"),
        ("a: b: c", "cannot be read"),
        ('a: !!int ""', "cannot be read"),
        ("a: !!bool x", "cannot be read"),
        ("a: !!timestamp x", "cannot be read"),
        ("a: 1" + ":1" * 400 + ".0", "cannot be read"),
        ('a: "\\UFFFFFFFF"', "cannot be read"),
    ],
)
def test_attack_a_page_that_mlflow_would_not_write_is_refused(folder, page, says):
    (folder / "MLmodel").write_bytes(page.encode("latin-1"))
    assert says in refusal(folder).message


def test_attack_a_page_without_end_is_refused(folder):
    (folder / "MLmodel").write_bytes(b"a: " + b"x" * 2**20)
    assert "longer than" in refusal(folder).message


def test_attack_no_link_leads_out_of_the_folder(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/model.pkl").write_bytes(b"secret")
    (folder / "model.pkl").unlink()
    (folder / "model.pkl").symlink_to(tmp_path / "elsewhere/model.pkl")
    assert "cannot be opened in the folder" in refusal(folder).message

    (folder / "sub").symlink_to(tmp_path / "elsewhere")
    (folder / "MLmodel").write_text(PAGE.replace(": model.pkl", ": sub/model.pkl"))
    assert "cannot be opened in the folder" in refusal(folder).message

    (folder / "MLmodel").unlink()
    (folder / "MLmodel").symlink_to(tmp_path / "elsewhere/model.pkl")
    assert "without a readable MLmodel" in refusal(folder).message


def test_attack_a_pipe_in_the_place_of_the_model_does_not_hang(folder):
    (folder / "model.pkl").unlink()
    os.mkfifo(folder / "model.pkl")
    with pytest.raises(ModelRefused, match="not a regular file"):
        content(folder)
    (folder / "MLmodel").unlink()
    os.mkfifo(folder / "MLmodel")
    assert "not a regular file" in refusal(folder).message


def test_a_folder_of_nothing_is_told_as_that(tmp_path):
    assert "it is a folder without a readable MLmodel" in refusal(tmp_path).message


def test_pyyaml_that_is_not_installed_is_told_with_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "script/extras mlflow" in refusal(folder).fix
