"""Every estimator of scikit-learn is written, read back, and answers to the bit as before."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

ROWS, ANSWERS = make_classification(60, 6, random_state=0)
ROWS = np.abs(ROWS)
# Each shape of input some estimator insists on, tried in turn.
INPUTS = (
    (ROWS, ANSWERS),
    (ROWS, ANSWERS + 1.5),
    (ROWS, np.c_[ANSWERS, 1 - ANSWERS]),
    (ROWS[:, :1], ANSWERS),
    (ROWS[:, 0], ANSWERS),
    (["an axe", "the axe"] * 30, ANSWERS),
    ([{"a": 1.0}] * 60, ANSWERS),
    (ROWS @ ROWS.T, ANSWERS),
    (ROWS[:, :3], ANSWERS),
    (np.arange(1200.0).reshape(3, 20, 20), None),
    ([["a"], ["a", "b"], ["c"]], None),
)
# TSNE answers nothing after it was fitted, and takes minutes where two cores are shared.
ESTIMATORS = {name: cls for name, cls in all_estimators() if name != "TSNE"}


def instances_of(cls):
    if cls is FrozenEstimator:
        return [FrozenEstimator(LogisticRegression().fit(ROWS, ANSWERS))]
    return list(_construct_instances(cls))


def fitted(estimator):
    """Return a fitted copy and the rows it was fitted with; None where no input fits."""
    for rows, answers in INPUTS:
        made = clone(estimator)
        if "random_state" in made.get_params():
            made.set_params(random_state=0)
        for given in ((rows, answers), (rows,), (answers,)):
            try:
                model = made.fit(*given)
                if hasattr(model, "transform"):
                    model.transform(given[0])  # some are fitted with anything
                return model, given[0]
            except Exception:  # noqa: BLE001 - the wrong shape for this one
                continue
    return None


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore")
def test_an_estimator_answers_as_before(name, answers_as_before, copies):
    some = False
    for estimator in instances_of(ESTIMATORS[name]):
        made = fitted(estimator)
        if made is None:
            continue
        some = True
        model, rows = made
        if any(hasattr(model, method) for method in ("predict", "score_samples", "transform")):
            answers_as_before(model, rows)
        else:  # it says something of the rows it was fitted with, and answers nothing else
            for copy in copies(model):
                assert vars(copy).keys() == vars(model).keys()

    assert some
