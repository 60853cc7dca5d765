"""Fixtures of the journeys: a machine of one's own, and the work of a data scientist."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import joblib
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from secureml import program_log

# pytest imports each test file on its own (importlib mode), so this folder is no package.
sys.path.insert(0, str(Path(__file__).parent))
from journey_site import Site, Work


@pytest.fixture(scope="session", autouse=True)
def _log() -> None:
    # Before a command runs: its stderr ends with it, and the log would keep writing there.
    program_log.configure("warning")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "instance")


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("work")
    wine = load_wine()
    made = Work(folder / "first.joblib", folder / "second.joblib", folder / "wine.csv")
    for file, strength in ((made.first, 1.0), (made.second, 0.01)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        joblib.dump(model.fit(wine.data, wine.target_names[wine.target]), file)
    with made.table.open("w", newline="", encoding="utf-8") as sheet:
        lines = csv.writer(sheet)
        lines.writerow([*wine.feature_names, "kind"])
        lines.writerows(
            [*map(repr, row), answer]
            for row, answer in zip(wine.data.tolist(), wine.target.tolist(), strict=True)
        )
    return made
