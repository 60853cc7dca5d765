from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card
from secureml.models.sealing.build_card import Subject, learn_model
from secureml.models.sealing.model_columns import GOLDEN_ROWS

SUBJECT = Subject("m", "1", "2026-01-01T00:00:00Z", digest="0" * 64, source_digest="1" * 64)
ROWS, ANSWERS = np.arange(24.0).reshape(12, 2), np.arange(12) % 2


def learn(estimator, **words):
    given = {"data": None, **words}
    names = given.pop("names", frozenset({"b", "a"}))
    return learn_model(SUBJECT, estimator, names, **given).card


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (LogisticRegression(), "classifier"),
        (LinearRegression(), "regressor"),
        (IsolationForest(n_estimators=3), "outlier"),
        (KMeans(2, n_init=1), "cluster"),
    ],
)
def test_the_kind_is_scikit_learns_own(estimator, kind):
    card = learn(estimator.fit(ROWS, ANSWERS))

    assert card.kind == kind
    assert (card.classes is not None) == (kind == "classifier")
    assert Card.from_json(card.to_json()) == card


def test_a_classifier_without_probabilities_promises_none():
    card = learn(SGDClassifier().fit(ROWS, ANSWERS))

    assert (card.has_probabilities, card.golden.probabilities) == (False, None)


def test_names_used_are_sorted_and_the_digests_are_those_of_the_files():
    card = learn(LinearRegression().fit(ROWS, ANSWERS))

    assert card.globals == ("a", "b")
    assert (card.digest, card.source_digest) == ("0" * 64, "1" * 64)


def test_made_up_rows_are_the_same_each_time():
    model = LinearRegression().fit(ROWS, ANSWERS)

    assert learn(model).golden == learn(model).golden
    assert len(set(learn(model).golden.rows)) == GOLDEN_ROWS


def test_names_of_the_fit_are_the_names_of_the_card():
    model = LinearRegression().fit(ROWS, ANSWERS)
    model.feature_names_in_ = np.array(["late", "early"], dtype=object)
    card = learn(model, names=frozenset({"sklearn.linear_model._base.LinearRegression"}))

    assert [feature.name for feature in card.features] == ["late", "early"]


def test_own_code_that_was_fitted_on_a_frame_needs_the_table():
    """It may tell 3 from 3.0, and only the table knows which it was given."""
    model = LinearRegression().fit(ROWS, ANSWERS)
    model.feature_names_in_ = np.array(["late", "early"], dtype=object)
    with pytest.raises(ModelRefused, match=r"dtypes of its columns must be known; fix: .*--data"):
        learn(model)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"classes_": np.array([None, "a"], dtype=object)}, "neither text"),
        ({"n_features_in_": 0}, "how many columns"),
        ({"n_features_in_": "2"}, "how many columns"),
        ({"n_features_in_": 3}, "ValueError"),
    ],
)
def test_a_model_that_does_not_fit_a_card_is_refused(change, word):
    model = LogisticRegression().fit(ROWS, ANSWERS)
    vars(model).update(change)
    with pytest.raises(ModelRefused, match=word):
        learn(model)


def test_what_only_scores_is_asked_for_its_scores():
    card = learn(KernelDensity().fit(ROWS))

    assert (card.kind, card.method, card.outputs) == ("density", "score_samples", 0)
    assert card.answers_amounts


@pytest.mark.parametrize(
    ("estimator", "kind", "method", "outputs"),
    [
        (StandardScaler().fit(ROWS), "transformer", "transform", 2),
        (OneHotEncoder(handle_unknown="ignore").fit(ROWS), "transformer", "transform", 24),
        (LinearRegression().fit(ROWS, ROWS), "regressor", "", 2),
        (LinearRegression().fit(ROWS, ROWS[:, :1]), "regressor", "", 1),
        (RandomForestClassifier(2).fit(ROWS, np.c_[ANSWERS, ANSWERS]), "classifier", "", 2),
        (OneVsRestClassifier(LogisticRegression()).fit(ROWS, np.c_[ANSWERS, 1 - ANSWERS]),
         "classifier", "", 2),
        (GaussianMixture(2).fit(ROWS), "cluster", "", 0),
    ],
)  # fmt: skip
def test_several_values_a_row_are_a_list_and_have_no_probabilities(
    estimator, kind, method, outputs
):
    card = learn(estimator)

    assert (card.kind, card.method, card.outputs) == (kind, method, outputs)
    assert (card.classes, card.has_probabilities) == (None, False)
    assert {len(one) if outputs else 0 for one in card.golden.predictions} == {outputs}
    assert Card.from_json(card.to_json()) == card
    assert card.public().get("outputs", 0) == outputs


@pytest.mark.filterwarnings("ignore")
def test_an_answer_that_is_not_finite_is_refused_at_sealing():
    model = LinearRegression().fit(ROWS, ANSWERS)
    model.coef_ = np.array([np.inf, 0.0])
    with pytest.raises(ModelRefused, match="JSON"):
        learn(model)
