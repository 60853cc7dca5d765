"""Areas under the curve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from secureml.models.assessment.roc import auc, standard_error, true_positives


def test_the_area_is_that_of_scikit_learn_ties_included(chance):
    members, others = chance.integers(0, 8, 150) + 1.0, chance.integers(0, 8, 90) * 1.0
    truth, scores = np.repeat([1, 0], [150, 90]), np.concatenate([members, others])
    assert auc(members, others) == pytest.approx(roc_auc_score(truth, scores))


def test_the_standard_error_is_that_of_the_paper():
    """Hanley and McNeil 1982, table III: area 0.8, 50 and 50 cases."""
    assert standard_error(0.8, 50, 50) == pytest.approx(0.0445, abs=0.0005)


def test_the_standard_error_is_what_the_area_varies_by(chance):
    found = [auc(chance.normal(1, 1, 80), chance.normal(0, 1, 80)) for _ in range(300)]
    assert standard_error(float(np.mean(found)), 80, 80) == pytest.approx(np.std(found), rel=0.2)


def test_one_other_row_of_a_hundred_may_be_named_by_mistake():
    others = np.arange(100.0)  # of which one, 99, may be above
    assert true_positives(np.array([98.0, 98.5, 99.5, 3.0]), others) == 0.5


def test_of_fewer_others_nothing_is_said():
    assert true_positives(np.array([1.0]), np.arange(99.0)) is None
