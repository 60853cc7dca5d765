"""A model that does not answer the plain reading of its table is asked about the others."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.model_columns import GOLDEN_ROWS, columns_of
from secureml.models.sealing.table_file import TableFile
from secureml.models.serving.registry import Registry

pd = pytest.importorskip("pandas")
MODULE = "own_columns_of_the_tests"
DAYS = pd.date_range("2026-01-01", periods=40)
FRAME = pd.DataFrame({"day": DAYS, "plan": ["a", "b"] * 20, "n": np.arange(40) / 2})
Y = [1, 0] * 20


def weekday(frame):
    return pd.DataFrame({"weekday": frame["day"].dt.day_of_week, "n": frame["n"]})


class Picky(ClassifierMixin, BaseEstimator):
    """Takes a frame of pandas categories alone, as boosters do."""

    def fit(self, frame, answers):
        self.classes_, self.n_features_in_ = np.array([0, 1]), frame.shape[1]
        self.feature_names_in_ = np.array(list(frame.columns), dtype=object)
        return self

    def predict(self, frame):
        if str(frame["plan"].dtype) != "category":
            raise TypeError("plan must be category")
        return frame["plan"].cat.codes.to_numpy().clip(0)


@pytest.fixture(autouse=True)
def own_module(monkeypatch):
    module = ModuleType(MODULE)
    for thing in (weekday, Picky):
        monkeypatch.setattr(thing, "__module__", MODULE)
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, MODULE, module)


ALLOW = frozenset({f"{MODULE}.weekday", f"{MODULE}.Picky"})


def served(tmp_path):
    registry = Registry(tmp_path / "models", extra_allowed=ALLOW)
    registry.load_all()
    return registry.get("model")


def test_dates_reach_a_model_that_needs_them_as_dates(seal, tmp_path):
    frame = FRAME[["day", "n"]]
    model = make_pipeline(FunctionTransformer(weekday), LogisticRegression()).fit(frame, Y)
    sealed = seal(model, table=frame.to_csv(index=False), allow=ALLOW)
    found = served(tmp_path)
    asked = pd.DataFrame({"day": pd.to_datetime(["2027-05-05"]), "n": [1.5]})

    assert [feature.dtype for feature in sealed.card.features] == ["date", "float"]
    assert found.predict(found.read([["2027-05-05", 1.5]])).probabilities == (
        model.predict_proba(asked).tolist()
    )
    assert any("'day' is read as date" in note for note in sealed.notes)


@pytest.mark.parametrize("types", [{}, {"plan": "categorical"}])
def test_categories_of_pandas_reach_a_model_that_needs_them(seal, tmp_path, types):
    frame = FRAME[["plan", "n"]].astype({"plan": "category"})
    model = Picky().fit(frame, Y)
    card = seal(model, table=frame.to_csv(index=False), allow=ALLOW, types=types).card
    found = served(tmp_path)

    assert card.features[0].frame_dtype == "category"
    assert found.predict(found.read([["a", 1], ["b", 2]])).predictions == [0, 1]
    assert found.predict(found.read([["b", 1]] * 9)).predictions == [1] * 9


def test_a_model_that_answers_no_reading_is_told_the_reason_of_the_plain_one(seal):
    model = make_pipeline(FunctionTransformer(weekday), LogisticRegression())
    model.fit(FRAME[["day", "n"]], Y)
    table = FRAME[["n"]].assign(day="x")[["day", "n"]].to_csv(index=False)
    with pytest.raises(ModelRefused, match="dt accessor"):
        seal(model, table=table, allow=ALLOW)


def columns(text, estimator, **words):
    file = TableFile("t.csv", text.encode(), words.pop("csv", {}))
    return columns_of(estimator, 1, file, words.pop("target", None), words.pop("types", {}))


def test_how_a_table_is_read_is_told_where_it_is_not_the_usual_way():
    model = LogisticRegression().fit([[1], [2]], [0, 1])

    assert columns("a,y\n1,0\n", model).notes == ()
    assert columns("a;y\n1,5;0\n", model).notes == (
        "the table is read as: semicolon, decimal comma, UTF-8",
    )


def test_golden_rows_are_spread_over_the_table():
    found = columns("a\n" + "".join(f"{n}\n" for n in range(1000)), KMeans(2, n_init=1))

    assert len(found.golden) == GOLDEN_ROWS
    assert (found.golden[0], found.golden[-1]) == ((0,), (999,))
