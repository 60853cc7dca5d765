"""Matrices that a model builds out of what its members answer are held to their shape."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator
from secureml.models.unpickling.sparse_matrices import check_each_sparse_matrix

DRAW = np.random.default_rng(0)
ROWS = DRAW.random((60, 3))
THREE = np.arange(60) % 3
LABELS = np.c_[THREE == 0, THREE > 0].astype(int)


def load(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return load_estimator(file.getvalue(), builtin_names())


def test_attack_members_that_answer_with_more_rows_than_they_were_asked_for():
    model = OneVsRestClassifier(LogisticRegression()).fit(ROWS, LABELS)
    member = LogisticRegression().fit(ROWS, THREE)  # three numbers for each row
    member.intercept_ = np.full(3, 100.0)
    model.estimators_ = [member, member]

    with pytest.raises(ValueError, match="indices must be"):
        load(model).predict(ROWS)


def test_honest_members_answer_as_before():
    model = OneVsRestClassifier(LogisticRegression()).fit(ROWS, LABELS)
    expected = model.predict(ROWS)

    np.testing.assert_array_equal(load(model).predict(ROWS), expected)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
@pytest.mark.parametrize(
    ("indices", "starts"),
    [([0, 3], [0, 1, 2, 2]), ([0, -1], [0, 1, 2, 2]), ([0, 1], [0, 9, 2, 2]), ([], [0, 9, 0, 0])],
    ids=["beyond", "before", "falling", "falling to nothing"],
)
def test_a_matrix_that_points_outside_is_not_made(kind, indices, starts):
    check_each_sparse_matrix()
    indices, starts = np.array(indices, np.int32), np.array(starts, np.int32)

    with pytest.raises(ValueError, match=r"indices must be|non-decreasing"):
        getattr(scipy.sparse, kind)((np.ones(len(indices)), indices, starts), shape=(3, 3))


def test_the_check_is_put_in_place_once():
    check_each_sparse_matrix()
    before = scipy.sparse.csr_matrix.check_format
    check_each_sparse_matrix()

    assert scipy.sparse.csr_matrix.check_format is before
    assert scipy.sparse.csr_matrix(np.eye(3)).toarray().sum() == 3
