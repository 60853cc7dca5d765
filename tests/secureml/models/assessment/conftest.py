"""Small sealed models of three kinds, with the rows they were fitted on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.oracle import Oracle
from secureml.models.serving.handle import ModelHandle
from secureml.models.serving.registry import Registry
from tests.made_models import seal_estimator


class Sealed(NamedTuple):
    """A fitted estimator, its sealed form, and its rows as JSON has them."""

    model: Any
    handle: ModelHandle
    rows: list[list[Any]]
    answers: list[Any]

    @property
    def space(self) -> ColumnSpace:
        return ColumnSpace(self.handle.card.features, self.rows)

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.handle, self.space)


def seal(folder, model, frame, answers, **words) -> Sealed:
    table = frame.assign(target=answers).to_csv(index=False)
    seal_estimator(folder, model, table=table, target="target", **words)
    rows = [list(row) for row in zip(*(frame[name].tolist() for name in frame), strict=True)]
    return Sealed(model, Registry(folder / "models").prove("model", "1"), rows, list(answers))


def numbers(count: int = 300) -> pd.DataFrame:
    chance = np.random.default_rng(4)
    return pd.DataFrame(chance.normal(0, (1, 5, 0.1, 2), (count, 4)), columns=list("abcd"))


@pytest.fixture(scope="session")
def linear(tmp_path_factory) -> Sealed:
    """A logistic regression of four numbers."""
    frame = numbers()
    answers = (frame["a"] + frame["b"] / 5 - 4 * frame["c"] > 0.3).astype(int).tolist()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame.to_numpy(), answers)
    return seal(tmp_path_factory.mktemp("linear"), model, frame, answers)


@pytest.fixture(scope="session")
def amounts(tmp_path_factory) -> Sealed:
    """A linear regression of four numbers."""
    frame = numbers()
    answers = (3 * frame["a"] + frame["b"]).tolist()
    return seal(
        tmp_path_factory.mktemp("amounts"), Ridge().fit(frame.to_numpy(), answers), frame, answers
    )


@pytest.fixture(scope="session")
def words(tmp_path_factory) -> Sealed:
    """A pipeline on a frame: what it answers depends on a word and a number, not on `unused`."""
    chance = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "size": chance.integers(0, 50, 300),
            "plan": chance.choice(["basic", "plus", "pro"], 300),
            "unused": chance.choice(["left", "right"], 300),
            "weight": chance.normal(size=300),
        }
    )
    score = frame["plan"].map({"basic": -2.0, "plus": 0.0, "pro": 2.0}) + frame["weight"]
    answers = np.where(score > 0, "yes", "no").tolist()
    steps = ColumnTransformer(
        [("numbers", StandardScaler(), ["weight"]), ("words", OneHotEncoder(), ["plan"])]
    )
    model = make_pipeline(steps, LogisticRegression()).fit(frame, answers)
    return seal(tmp_path_factory.mktemp("words"), model, frame, answers, types={"size": "integer"})


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(0)
