"""What is attacked: real models on scikit-learn's own data, sealed as an operator seals them.

A third of each data set is never shown to model or card: benign clients ask it, attackers are
judged on it, and those who hold real rows hold some of it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from plugins.theft_guard.plugin import TheftGuard
from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.models.serving.registry import Registry
from tests.data_forms import convert_here

WHOLE = 3  # the last columns of the mixed set are whole numbers


@dataclass(frozen=True)
class Subject:
    """A sealed model with the rows that it has not seen; ``handle`` answers in process."""

    name: str
    handle: Any
    train: np.ndarray
    fresh: np.ndarray
    folder: Path

    @property
    def low(self) -> np.ndarray:
        return self.train.min(axis=0)

    @property
    def high(self) -> np.ndarray:
        return self.train.max(axis=0)

    @property
    def spread(self) -> np.ndarray:
        deviation = self.train.std(axis=0)
        return np.where(deviation > 0, deviation, 1.0)


def mixed():
    """Return 4000 made-up rows: 9 numbers and 3 small whole numbers, two classes."""
    rows, answers = make_classification(
        4000, 12, n_informative=7, n_redundant=2, class_sep=1.2, random_state=5
    )
    edges = np.quantile(rows[:, -WHOLE:], (0.2, 0.4, 0.6, 0.8), axis=0)
    for column in range(WHOLE):
        place = rows.shape[1] - WHOLE + column
        rows[:, place] = np.searchsorted(edges[:, column], rows[:, place])
    return rows, answers


def _loaded(load):
    data = load()
    return data.data, data.target


DATA = {
    "cancer": lambda: _loaded(load_breast_cancer),
    "wine": lambda: _loaded(load_wine),
    "digits": lambda: _loaded(load_digits),
    "mixed": mixed,
}
MODELS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
    "forest": lambda: RandomForestClassifier(40, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=50, random_state=0),
    "svc": lambda: make_pipeline(StandardScaler(), SVC()),
}


def subject(data: str, model: str, folder: Path, split: int = 0) -> Subject:
    """Fit, seal and load one model; ``split`` decides which third it is not shown."""
    rows, answers = DATA[data]()
    train, fresh, known, _ = train_test_split(
        rows, answers, test_size=1 / 3, random_state=split, stratify=answers
    )
    name = f"{data}-{model}"
    joblib.dump(MODELS[model]().fit(train, known), folder / f"{name}.joblib")
    with (folder / f"{name}.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([*(f"x{i}" for i in range(train.shape[1])), "target"])
        lines.writerows(
            [*map(_number, row), int(answer)] for row, answer in zip(train, known, strict=True)
        )
    packaging.seal(
        packaging.Order(folder / f"{name}.joblib", name, folder / f"{name}.csv", "target"),
        packaging.SealTarget(
            folder / "models",
            signature.generate_key(),
            lambda: 1_767_225_600.0,
            sections={"theft_guard": TheftGuard.card_section},
            convert=convert_here,
        ),
    )
    handle = Registry(folder / "models").prove(name, "1")
    return Subject(name, handle, train, fresh, folder)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def fit_to(subject: Subject, rows: np.ndarray) -> np.ndarray:
    """Bring an attacker's rows where the input rules let them through: in range, whole."""
    rows = np.clip(rows, subject.low, subject.high)
    whole = [f.dtype == "integer" for f in subject.handle.card.features]
    rows[:, whole] = np.round(rows[:, whole])
    return rows
