"""Explanations of sealed models, by the path that serves them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from plugins.explain.explainer import Explainer, NotExplained, TooSlow
from secureml.models.serving.registry import Registry
from tests.made_models import seal_estimator

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(200, 3))
NUMBERS = TABLE @ [2.0, -1.0, 0.5] + 7
CSV = "a,b,c\n" + "\n".join(",".join(map(repr, row)) for row in TABLE.tolist()) + "\n"


@pytest.fixture
def model(tmp_path):
    """Return a function that seals an estimator and loads it."""

    def make(estimator, table=CSV, **words):
        seal_estimator(tmp_path, estimator, "model", table=table, **words)
        registry = Registry(tmp_path / "models")
        registry.load_all()
        return registry.get("model")

    return make


def still():
    return 0.0


def test_of_a_linear_model_it_is_the_weight_times_the_distance_from_the_mean(model):
    handle = model(LinearRegression().fit(TABLE, NUMBERS))
    golden = np.array(handle.card.golden.rows)
    (found,) = Explainer(handle, 2000, still).explain(TABLE[:1], [0], 1)

    assert found.parts == pytest.approx([2, -1, 0.5] * (TABLE[0] - golden.mean(axis=0)))
    assert found.base == pytest.approx(golden.mean(axis=0) @ [2, -1, 0.5] + 7)
    assert found.value == pytest.approx(NUMBERS[0])


def test_of_a_classifier_it_is_of_the_probability_of_one_class(model):
    labels = np.digitize(NUMBERS, [6, 8])
    handle = model(RandomForestClassifier(10, random_state=0).fit(TABLE, labels))
    explainer = Explainer(handle, 2000, still)
    shares = handle.predict(TABLE[:3]).probabilities
    found = [explainer.explain(TABLE[:3], [column] * 3, 1) for column in range(3)]

    for place in range(3):
        assert [each[place].value for each in found] == pytest.approx(shares[place])
        # Whatever is gained by one class is lost by the others.
        assert sum(each[place].parts for each in found) == pytest.approx(np.zeros(3), abs=1e-9)


def test_a_frame_of_words_and_numbers_is_explained_by_its_columns(model):
    frame = pd.DataFrame({"a": TABLE[:, 0], "word": ["x", "y"] * 100})
    labels = ((frame["word"] == "x") ^ (frame["a"] > 2)).astype(int)
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame, labels)
    handle = model(pipeline, frame.to_csv(index=False))
    (found,) = Explainer(handle, 2000, still).explain(handle.read([[0.1, "x"]]), [1], 1)

    assert found.parts[1] > 5 * abs(found.parts[0])
    assert found.base + found.parts.sum() == pytest.approx(found.value)


def test_a_text_is_explained_as_a_whole(model):
    texts, labels = ["good day", "bad day"] * 10, [1, 0] * 10
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    handle = model(pipeline, "text\n" + "\n".join(texts) + "\n")
    (found,) = Explainer(handle, 2000, still).explain(handle.read([["good day"]]), [1], 1)

    assert found.parts == pytest.approx([found.value - found.base])
    assert found.parts[0] > 0


def test_who_asks_twice_gets_the_same_to_the_bit(model):
    """Else the noise of the sample could be averaged away."""
    handle = model(RandomForestClassifier(10, random_state=0).fit(TABLE, TABLE.prod(axis=1) > 0))
    first, again = (Explainer(handle, 500, still).explain(TABLE[:2], [1, 0], 1) for _ in range(2))
    assert [each.parts.tolist() for each in first] == [each.parts.tolist() for each in again]


def test_it_ends_at_its_time(model):
    handle = model(LinearRegression().fit(TABLE, NUMBERS))
    clock = itertools.count()
    with pytest.raises(TooSlow):
        Explainer(handle, 2000, lambda: next(clock)).explain(TABLE[:3], [0] * 3, 3)


@pytest.mark.parametrize(
    ("estimator", "table", "why"),
    [
        (LinearRegression().fit(TABLE, NUMBERS), None, "sealed without --data"),
        (LinearRegression().fit(TABLE, TABLE), CSV, "one answer a row"),
        (LinearSVC().fit(TABLE, NUMBERS > 7), CSV, "by its probabilities, and it has none"),
    ],
)
def test_a_model_that_cannot_be_explained_says_why(model, estimator, table, why):
    with pytest.raises(NotExplained, match=why):
        Explainer(model(estimator, table), 2000, still)


def test_a_model_too_wide_for_the_evaluations_says_how_many_it_needs(model):
    handle = model(LinearRegression().fit(TABLE, NUMBERS))
    wide = replace(handle.card, features=handle.card.features * 400)

    class Wide:
        card = wide

    with pytest.raises(NotExplained, match="1200 features need 2398 evaluations"):
        Explainer(Wide(), 2000, still)
