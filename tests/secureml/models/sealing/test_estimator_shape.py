"""What is said of a file that no card can describe, and what an estimator is asked otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.covariance import EmpiricalCovariance
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.estimator_shape import (
    kind_of,
    method_of,
    takes_column,
    takes_mapping,
    width_of,
)

ROWS, ANSWERS = np.arange(24.0).reshape(12, 2), np.arange(12) % 2
HASHING = HashingVectorizer(alternate_sign=False)
TEXTS = ["good day", "bad day"] * 6


class Own:
    """A class that is nothing of scikit-learn's."""

    n_features_in_ = 2

    def predict(self, rows):
        return [1] * len(rows)


@pytest.mark.parametrize(
    ("thing", "says", "fix"),
    [
        (DBSCAN().fit(ROWS), "answers only the rows it was fitted on", "predicts new rows"),
        (LocalOutlierFactor(n_neighbors=2).fit(ROWS), "only the rows it was fitted on", "new rows"),
        (EmpiricalCovariance().fit(ROWS), "Covariance, which does not predict", "pipeline"),
        (None, "a NoneType, which does not predict", "the fitted estimator"),
        ([Own()], "a list, which does not predict", "the fitted estimator"),
    ],
)  # fmt: skip
def test_what_answers_no_row_is_told_what_to_seal_instead(thing, says, fix):
    with pytest.raises(ModelRefused) as refused:
        method_of(thing)

    assert refused.value.check == "card"
    assert says in refused.value.message
    assert fix in refused.value.fix


def test_attack_a_width_beyond_all_bounds_is_refused_before_names_are_made_of_it():
    model = LogisticRegression().fit([[0.0]] * 6 + [[1.0]] * 6, ANSWERS)
    model.n_features_in_ = 10**9

    with pytest.raises(ModelRefused, match="takes 1000000000 columns, more than"):
        width_of(model)


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (LogisticRegression(), "the LogisticRegression is not fitted"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "the Pipeline is not fitted"),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()), "the Pipeline is not fitted"),
        (IsotonicRegression(), "the IsotonicRegression is not fitted"),
        (
            make_pipeline(FeatureHasher(8, input_type="string"), LogisticRegression()).fit(
                [["a"]] * 12, ANSWERS
            ),
            "the FeatureHasher takes lists of texts or of pairs",
        ),
    ],
)
def test_what_says_no_width_is_told_why(estimator, says):
    with pytest.raises(ModelRefused) as refused:
        width_of(estimator)

    assert says in refused.value.message


@pytest.mark.parametrize(
    ("estimator", "column"),
    [
        (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ANSWERS), True),
        (make_pipeline(HASHING, MultinomialNB()).fit(TEXTS, ANSWERS), True),
        (IsotonicRegression().fit(ROWS[:, 0], ANSWERS), True),
        (LogisticRegression().fit(ROWS[:, :1], ANSWERS), False),
    ],
)  # fmt: skip
def test_texts_and_isotonic_numbers_are_one_column(estimator, column):
    assert width_of(estimator) == 1
    assert takes_column(estimator) is column


def test_a_class_of_ones_own_is_of_another_kind():
    assert (method_of(Own()), width_of(Own()), kind_of(Own(), "")) == ("", 2, "other")


@pytest.mark.parametrize(
    ("first", "mapping"),
    [(DictVectorizer(), True), (FeatureHasher(8), True), (StandardScaler(), False)],
)
def test_objects_of_names_and_values_are_as_wide_as_their_table(first, mapping):
    rows = [{"a": 1}, {"b": 2}] * 6 if mapping else [[1], [2]] * 6
    model = make_pipeline(first, LogisticRegression()).fit(rows, ANSWERS)

    assert takes_mapping(model) is mapping
    assert width_of(model) == (0 if mapping else 1)
