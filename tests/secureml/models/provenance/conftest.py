"""A key, a model in a folder of three files, and its bundle."""

from __future__ import annotations

import pytest

from tests.bundles import bundle_of, new_keys, whole


@pytest.fixture
def keys(tmp_path):
    return new_keys(tmp_path, "ours")


@pytest.fixture
def others(tmp_path):
    return new_keys(tmp_path, "theirs")


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "model.joblib").write_bytes(b"the estimator, in more than ten bytes")
    (folder / "parts" / "scaler.joblib").write_bytes(b"the scaler")
    (folder / "README.md").write_bytes(b"what it is")
    return folder


@pytest.fixture
def bundle(model, keys, tmp_path):
    return bundle_of(model, keys, tmp_path / "model.sig", whole())
