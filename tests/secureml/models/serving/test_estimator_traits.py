"""Whether a label may be read from probabilities was read in one version's source."""

from __future__ import annotations

import inspect

import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from secureml.models.serving.estimator_traits import CHECKS_ONLY_INPUT, LITERAL, MONOTONE, final


def test_the_source_that_was_read_is_the_one_installed():
    assert sklearn.__version__ == "1.9.1", "read proven.py's classes again in the new source"


@pytest.mark.parametrize("kind", sorted(LITERAL, key=lambda kind: kind.__name__))
def test_a_literal_predict_is_an_argmax(kind):
    assert "argmax(" in inspect.getsource(kind.predict)


def test_no_class_stands_in_both_lists():
    assert not LITERAL & MONOTONE


def test_no_pipeline_is_proved_as_a_whole():
    assert Pipeline not in CHECKS_ONLY_INPUT


def test_the_last_step_decides_however_deep_the_pipelines_are():
    last = LogisticRegression()

    assert final(make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), last))) is last
    assert final(last) is last


def test_a_subclass_proves_nothing():
    class Own(RandomForestClassifier):
        def predict(self, X):  # noqa: N803 - scikit-learn's name
            return ["always this"] * len(X)

    assert type(final(Own())) not in LITERAL | MONOTONE | CHECKS_ONLY_INPUT
