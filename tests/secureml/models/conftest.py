"""Real models, fitted and sealed once; each test that changes one works on its own copy."""

from __future__ import annotations

import csv
import shutil

import joblib
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from tests.data_forms import convert_here

MOMENT = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.fixture(scope="session")
def cancer():
    """Return scikit-learn's own breast-cancer data: 569 rows, 30 columns."""
    return load_breast_cancer()


@pytest.fixture(scope="session")
def key():
    return signature.generate_key()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory, cancer, key):
    """Return a folder with a model file, its table, and one sealed version of `cancer`."""
    folder = tmp_path_factory.mktemp("shelf")
    model = LogisticRegression(max_iter=10_000).fit(cancer.data, cancer.target)
    joblib.dump(model, folder / "cancer.joblib")
    with (folder / "cancer.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([*cancer.feature_names, "answer"])
        lines.writerows(
            [*row.tolist(), answer] for row, answer in zip(cancer.data, cancer.target, strict=True)
        )
    place = packaging.SealTarget(folder / "models", key, lambda: MOMENT, convert=convert_here)
    order = packaging.Order(folder / "cancer.joblib", "cancer", folder / "cancer.csv", "answer")
    packaging.seal(order, place)
    return folder


@pytest.fixture
def own(shelf, tmp_path):
    """Return a copy of the shelf that may be changed."""
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return tmp_path


@pytest.fixture
def seal(tmp_path, key):
    """Return a function that writes and seals an estimator of one's own."""

    def sealed(estimator, name="model", *, table=None, **words):
        joblib.dump(estimator, tmp_path / f"{name}.joblib")
        data = None
        if table is not None:
            data = tmp_path / f"{name}.csv"
            data.write_text(table, "utf-8")
        given = {
            name: words.pop(name) for name in ("allow", "verifiers", "sections") if name in words
        } | {"convert": convert_here}
        place = packaging.SealTarget(
            tmp_path / "models", words.pop("key", key), lambda: MOMENT, **given
        )
        return packaging.seal(
            packaging.Order(tmp_path / f"{name}.joblib", name, data, **words), place
        )

    return sealed
