"""The demo model: real data, a table of the very numbers, and the same model each time."""

from __future__ import annotations

import csv

import joblib
import pytest
from sklearn.datasets import load_breast_cancer

from secureml.cli import demo


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return demo.train(folder)


def test_the_table_holds_the_very_numbers_the_model_saw(made):
    data = load_breast_cancer()
    with made[1].open(newline="", encoding="utf-8") as sheet:
        header, *rows = csv.reader(sheet)
    assert header == [*data.feature_names, "target"]
    assert [[float(cell) for cell in row[:-1]] for row in rows] == data.data.tolist()
    assert [int(row[-1]) for row in rows] == data.target.tolist()


def test_the_model_knows_its_trade(made):
    data = load_breast_cancer()
    model = joblib.load(made[0])
    assert model.score(data.data, data.target) > 0.95
    assert model.predict_proba(data.data[:1]).shape == (1, 2)


def test_trained_again_it_answers_the_same(made, tmp_path):
    data = load_breast_cancer()
    again, before = joblib.load(demo.train(tmp_path)[0]), joblib.load(made[0])
    assert (again.predict_proba(data.data) == before.predict_proba(data.data)).all()
