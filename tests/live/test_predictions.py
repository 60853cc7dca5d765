"""What comes over verified HTTPS is what the model itself says, to the last bit."""

from __future__ import annotations

import json
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from live_serving import PREDICT, ask
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from pathlib import Path

    from live_serving import Instance, Served

pytestmark = pytest.mark.live

Rows = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return np.asarray(load_breast_cancer().data)


@pytest.fixture(scope="module")
def truth(demo_files: tuple[Path, Path], rows: Rows) -> tuple[list[Any], list[Any]]:
    """What the estimator in the very file that was sealed answers, asked row by row."""
    model = joblib.load(demo_files[0])
    one_by_one = [model.predict_proba(row[None, :])[0].tolist() for row in rows]
    return model.predict(rows).tolist(), one_by_one


@pytest.fixture(scope="module")
def key(instance: Instance) -> str:
    return instance.key("reader")


def shuffled(rows: Rows) -> list[dict[str, float]]:
    """Return the rows by feature name, each in an order of its own."""
    names = [str(name) for name in load_breast_cancer().feature_names]
    order = random.Random(569)
    return [
        dict(order.sample(list(zip(names, row, strict=True)), len(names))) for row in rows.tolist()
    ]


@pytest.mark.parametrize("spell", [np.ndarray.tolist, shuffled], ids=["positions", "names"])
def test_each_of_the_569_rows_alone_gets_the_models_own_answer(
    served: Served, key: str, rows: Rows, truth: tuple[list[Any], list[Any]], spell: Any
) -> None:
    predictions, probabilities = [], []
    with closing(served.connect()) as connection:
        for instance in spell(rows):
            answer = ask(connection, "POST", PREDICT, key, {"instances": [instance]}).json()
            predictions += answer["predictions"]
            probabilities += answer["probabilities"]
    assert len(predictions) == 569
    assert (predictions, probabilities) == truth


@pytest.mark.parametrize("spell", [np.ndarray.tolist, shuffled], ids=["positions", "names"])
def test_all_569_rows_in_one_batch_get_the_models_own_answers(
    served: Served, key: str, rows: Rows, demo_files: tuple[Path, Path], spell: Any
) -> None:
    model = joblib.load(demo_files[0])
    answer = served.ask("POST", PREDICT, key, {"instances": spell(rows)})
    said = json.loads(answer.body)
    assert said["predictions"] == model.predict(rows).tolist()
    assert said["probabilities"] == model.predict_proba(rows).tolist()
    assert said["model"] == {"name": "breast-cancer", "version": "1"}
