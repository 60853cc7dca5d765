"""A real model, trained and sealed once, with names that a JSON pointer must escape."""

from __future__ import annotations

import shutil

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.testing import START, Harness
from tests.data_forms import convert_here


def write_table(path, names, rows):
    """Write a CSV table of what a model was trained on."""
    lines = [",".join(names), *(",".join(map(repr, map(float, row))) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def sealed_models(tmp_path_factory):
    """A folder of models: `iris`, of four bounded numbers, sealed by a key of the moment."""
    folder = tmp_path_factory.mktemp("sealed")
    data = load_iris()
    names = ["sepal length", "sepal width", "petal/length", "petal~width"]
    joblib.dump(
        DecisionTreeClassifier(random_state=0).fit(data.data, data.target), folder / "iris.joblib"
    )
    write_table(folder / "iris.csv", names, data.data)
    packaging.seal(
        packaging.Order(
            folder / "iris.joblib", "iris", folder / "iris.csv", missing={"*": "refuse"}
        ),
        packaging.SealTarget(
            folder / "models", signature.generate_key(), lambda: START, convert=convert_here
        ),
    )
    return folder / "models"


@pytest.fixture
def harness(tmp_path, sealed_models):
    """A folder with a real store and the sealed models, loaded."""
    shutil.copytree(sealed_models, tmp_path / "models")
    harness = Harness(tmp_path)
    harness.models.load_all()
    return harness


@pytest.fixture
def rules(tmp_path):
    """Return a function that writes a file of rules."""

    def write(text):
        (tmp_path / "rules.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "rules.toml"

    return write
