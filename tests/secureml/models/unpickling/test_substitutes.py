"""Names that could do anything, and stand for the one thing that honest models keep there."""

from __future__ import annotations

import functools
import io

import joblib
import numpy as np
import pytest
import scipy.stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.utils.validation import check_array

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.allowlist import builtin_names, never
from secureml.models.unpickling.decompression import unpack
from secureml.models.unpickling.reader import load_recorded
from secureml.models.unpickling.requested_names import requested
from secureml.models.unpickling.substitutes import LeftBehind, expected, substitute
from tests.data_forms import estimator_of, form_of

RANDOM = np.random.default_rng(0)
ROWS = np.c_[RANDOM.integers(0, 4, 120), RANDOM.normal(size=(120, 2))].astype(float)
ANSWERS = RANDOM.integers(0, 3, 120)


def read(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    names = requested(unpack(file.getvalue()), len(file.getvalue())).names
    return load_recorded(file.getvalue(), builtin_names() | expected(names))[0]


def test_boosting_over_categories_comes_through_and_answers_the_same():
    model = HistGradientBoostingClassifier(max_iter=4, categorical_features=[0]).fit(ROWS, ANSWERS)
    found = estimator_of(form_of(read(model)))

    assert found.predict_proba(ROWS).tobytes() == model.predict_proba(ROWS).tobytes()


@pytest.mark.parametrize(
    "distribution",
    [scipy.stats.loguniform(0.1, 10), scipy.stats.uniform(0.1, 5), scipy.stats.randint(1, 9)],
)
def test_a_search_over_distributions_comes_through_without_them(distribution):
    search = RandomizedSearchCV(LogisticRegression(), {"C": distribution}, n_iter=2, cv=2)
    model = search.fit(ROWS, ANSWERS)
    held = read(model).param_distributions["C"]
    found = estimator_of(form_of(read(model)))

    assert type(held) is LeftBehind
    assert vars(held) == {}
    assert found.predict_proba(ROWS).tobytes() == model.predict_proba(ROWS).tobytes()


class Calls:
    """A pickle of a partial with any arguments and any state."""

    def __init__(self, arguments, state):
        self._made = functools.partial, arguments, state

    def __reduce__(self):
        return self._made


CHECK = "sklearn.utils.validation.check_array"
RIGHT = {"dtype": [np.float64], "ensure_all_finite": False}


@pytest.mark.parametrize(
    "partial",
    [
        Calls((check_array,), (np.abs, (), RIGHT, None)),
        Calls((check_array,), (check_array, (1,), RIGHT, None)),
        Calls((check_array,), (check_array, (), {}, None)),
        Calls((check_array,), (check_array, (), {**RIGHT, "copy": True}, None)),
        Calls((check_array,), (check_array, (), {**RIGHT, 5: True}, None)),
        Calls((check_array,), (check_array, (), {**RIGHT, "ensure_all_finite": True}, None)),
        Calls((check_array,), (check_array, (), RIGHT, {"own": 1})),
        Calls((check_array,), (check_array, (), RIGHT)),
        Calls((check_array,), {"own": 1}),
        Calls((check_array, 1), (check_array, (), RIGHT, None)),
        Calls((np.abs,), (np.abs, (), {}, None)),
        Calls((), None),
    ],
)
def test_attack_no_other_partial_can_be_made(partial):
    with pytest.raises(ModelRefused):
        read(partial)


def test_attack_a_partial_without_its_state_is_refused():
    with pytest.raises(ModelRefused):
        read(Calls((check_array,), None))


@pytest.mark.parametrize("thing", [check_array, scipy.stats.uniform(0, 1), scipy.stats.norm])
def test_attack_what_stands_for_nothing_cannot_be_written_elsewhere_in_a_model(thing):
    model = LogisticRegression().fit(ROWS, ANSWERS)
    model.extra_ = thing
    with pytest.raises(ModelRefused):
        form_of(read(model))


class Reaches:
    """A search that keeps what getattr gave of something."""

    def __init__(self, thing, name):
        self._made = getattr, (thing, name)

    def __reduce__(self):
        return self._made


@pytest.mark.parametrize(
    ("thing", "name"), [("text", "format"), (np.ones(2), "tofile"), (LogisticRegression, "fit")]
)
def test_attack_getattr_reaches_into_nothing_but_distributions(thing, name):
    search = RandomizedSearchCV(
        LogisticRegression(), {"C": scipy.stats.uniform(0.1, 5)}, n_iter=2, cv=2
    )
    model = search.fit(ROWS, ANSWERS)
    model.param_distributions["more"] = Reaches(thing, name)
    with pytest.raises(ModelRefused, match=r"builtins\.getattr"):
        read(model)


def test_by_themselves_they_are_refused_as_what_they_seem():
    partial, distribution = "functools.partial", "scipy.stats._continuous_distns.norm_gen"
    search = "sklearn.model_selection._search.RandomizedSearchCV"

    assert expected({partial, "numpy.ndarray"}) == set()
    assert expected({partial, CHECK}) == {partial, CHECK}
    assert expected({distribution}) == set()
    assert expected({distribution, search, "numpy.save"}) == {distribution}


def test_nobody_can_add_them_to_a_list():
    for name in ("functools.partial", "scipy.stats._discrete_distns.randint_gen"):
        assert name not in builtin_names()
        assert never(name)
        assert substitute(name) is not None
    assert substitute("scipy.stats._continuous_distns.os") is None
    assert substitute("sklearn.linear_model._base.LinearRegression") is None
