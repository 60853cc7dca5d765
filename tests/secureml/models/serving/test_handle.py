"""Answers equal the estimator's own, to the bit, whatever was saved on the way."""

from __future__ import annotations

import io
import math
import threading
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from secureml.models.sealing.build_card import Subject, learn_model
from secureml.models.serving.handle import ModelFailed, ModelHandle, Result, prepare
from secureml.models.unpickling.graph import parts


def handle(estimator):
    """Return a handle over a copy of the estimator, as loading makes one."""
    file = io.BytesIO()
    joblib.dump(estimator, file)
    copy = joblib.load(io.BytesIO(file.getvalue()))
    card = learn_model(
        Subject("m", "1", "2026-01-01T00:00:00Z", digest="0" * 64, source_digest="1" * 64),
        copy,
        frozenset(),
        data=None,
    ).card
    return ModelHandle(card, copy)


def check_equal(estimator, rows, *, single=True):
    model = handle(estimator)
    batches = [rows, *(rows[i : i + 1] for i in range(len(rows)) if single)]
    for batch in batches:
        result = model.predict(model.read(batch.tolist()))
        assert result.predictions == estimator.predict(batch).tolist()
        if model.card.has_probabilities:
            assert result.probabilities == estimator.predict_proba(batch).tolist()
            assert result.classes == tuple(estimator.classes_.tolist())
        else:
            assert result.probabilities is None


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=10_000),
        RandomForestClassifier(20, random_state=0),
        HistGradientBoostingClassifier(max_iter=30, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=["lr", "rf", "hgb", "pipeline"],
)
def test_all_569_rows_one_by_one_and_in_a_batch(estimator, cancer):
    check_equal(estimator.fit(cancer.data, cancer.target), cancer.data)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=10_000),
        RandomForestClassifier(10, random_state=0),
        HistGradientBoostingClassifier(max_iter=10, random_state=0),
        GaussianNB(),
        ExtraTreesClassifier(10, random_state=0),
        DecisionTreeClassifier(random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        MLPClassifier((5,), max_iter=2000, random_state=0),
        KNeighborsClassifier(),
        BaggingClassifier(n_estimators=5, random_state=0),
        CalibratedClassifierCV(SGDClassifier(random_state=0)),
        SVC(),
        StackingClassifier([("a", GaussianNB())]),
        SGDClassifier(random_state=0),
        GridSearchCV(LogisticRegression(max_iter=10_000), {"C": [0.1, 1.0]}),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("words", [False, True])
def test_every_kind_of_classifier_answers_as_itself(estimator, load, words):
    rows, answers = load(return_X_y=True)
    names = np.array(["one", "two", "three"])
    rows = StandardScaler().fit_transform(rows)
    check_equal(estimator.fit(rows, names[answers] if words else answers), rows[::5])


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        RandomForestRegressor(10, random_state=0),
        KMeans(3, random_state=0),
        IsolationForest(n_estimators=5, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_other_kinds_answer_as_themselves(estimator):
    rows, answers = load_diabetes(return_X_y=True)
    check_equal(estimator.fit(rows, answers), rows[::10])


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(),
        RandomForestClassifier(4, bootstrap=False),
        LogisticRegression(),
        HistGradientBoostingClassifier(),
        MLPClassifier((2,), max_iter=1),
        GradientBoostingClassifier(n_estimators=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_a_tie_is_broken_as_the_estimator_breaks_it(estimator):
    rows, answers = np.zeros((40, 2)), np.arange(40) % 2
    check_equal(estimator.fit(rows, answers), rows[:3])


def test_a_forest_of_all_processors_answers_in_one_thread(cancer):
    forest = RandomForestClassifier(5, n_jobs=-1, random_state=0).fit(cancer.data, cancer.target)
    stack = make_pipeline(
        StandardScaler(), GridSearchCV(forest, {"max_depth": [2]}, n_jobs=2, cv=2)
    ).fit(cancer.data, cancer.target)
    prepare(stack, keep_names=False)

    assert {part.n_jobs for part in parts(stack) if vars(part).get("n_jobs")} == {1}


def test_names_are_forgotten_inside_so_that_arrays_draw_no_warning():
    model = LogisticRegression().fit(np.arange(8.0).reshape(4, 2), [0, 1, 0, 1])
    model.feature_names_in_ = np.array(["a", "b"], dtype=object)
    answers = handle(model)  # warnings are errors here

    assert [feature.name for feature in answers.card.features] == ["a", "b"]
    assert len(answers.predict(answers.read([{"b": 1, "a": 2}])).predictions) == 1


def test_a_model_that_contains_itself_does_not_hang_the_start():
    model = LogisticRegression().fit(np.arange(4.0).reshape(2, 2), [0, 1])
    model.loop_ = [model]

    assert list(parts(model)) == [model]


def test_a_model_nested_beyond_all_measure_does_not_end_the_start():
    deep = inner = LogisticRegression()
    for _ in range(50_000):
        deep = [deep]
    model = LogisticRegression()
    model.deep_ = deep

    assert list(parts(model)) == [model, inner]


@pytest.mark.filterwarnings("ignore")
def test_an_answer_that_is_not_finite_is_a_failure():
    model = handle(LinearRegression().fit(np.arange(4.0).reshape(2, 2), [0, 1]))
    model._estimator.coef_ = np.array([math.inf, 0.0])
    with pytest.raises(ModelFailed, match="not_finite"):
        model.predict(np.ones((1, 2)))


def test_an_estimator_that_raises_is_a_failure_by_its_kind():
    model = handle(LinearRegression().fit(np.arange(4.0).reshape(2, 2), [0, 1]))
    with pytest.raises(ModelFailed, match=r"raised\.ValueError"):
        model.predict(np.ones((1, 5)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_the_row_that_cannot_be_answered_is_found(cancer, count, where):
    model = handle(RandomForestClassifier(3, random_state=0).fit(cancer.data, cancer.target))
    rows = np.resize(cancer.data, (count, 30)).copy()
    culprit = round(where * (count - 1))
    rows[culprit, 7] = 1e300
    with pytest.raises(ModelFailed) as failed:
        model.predict(rows)

    assert failed.value.row == culprit
    assert str(failed.value) == "raised.ValueError"


@pytest.mark.filterwarnings("ignore")
def test_a_row_whose_answer_is_not_finite_is_found():
    model = handle(LinearRegression().fit(np.arange(4.0).reshape(2, 2), [0, 1]))
    model._estimator.coef_ = np.array([1e10, 0.0])
    with pytest.raises(ModelFailed, match="not_finite") as failed:
        model.predict(np.array([[1.0, 1], [2, 1], [1e300, 1], [3, 1]]))

    assert failed.value.row == 2


def test_a_model_that_fails_on_what_it_answered_before_is_no_question_s_fault(cancer, monkeypatch):
    model = handle(LogisticRegression(max_iter=10_000).fit(cancer.data, cancer.target))

    def fails(rows):
        raise ValueError

    monkeypatch.setattr(model._estimator, "predict_proba", fails)
    with pytest.raises(ModelFailed) as failed:
        model.predict(cancer.data[:9])

    assert failed.value.row is None


@pytest.mark.parametrize("error", [MemoryError, OSError, RuntimeError, SystemExit])
def test_what_is_of_the_machine_is_no_question_s_fault(cancer, monkeypatch, error):
    model = handle(LogisticRegression(max_iter=10_000).fit(cancer.data, cancer.target))
    usual = model._estimator.predict_proba

    def fails(rows):
        if len(rows) > 1:
            raise error
        return usual(rows)

    monkeypatch.setattr(model._estimator, "predict_proba", fails)
    with pytest.raises(ModelFailed) as failed:
        model.predict(cancer.data[:9])

    assert failed.value.row is None


def test_attack_a_row_that_cannot_be_answered_makes_no_more_than_twice_the_work(
    cancer, monkeypatch
):
    model = handle(RandomForestClassifier(3, random_state=0).fit(cancer.data, cancer.target))
    asked = []
    usual = model._predict
    monkeypatch.setattr(model, "_predict", lambda rows: asked.append(len(rows)) or usual(rows))
    for culprit in (0, 1, 500, 998, 999):
        asked.clear()
        rows = np.resize(cancer.data, (1000, 30)).copy()
        rows[culprit, 7] = 1e300
        with pytest.raises(ModelFailed):
            model.predict(rows)
        assert sum(asked) <= 2 * 1000 + 5


@pytest.mark.filterwarnings("ignore")
def test_a_value_too_large_for_a_tree_is_a_failure_as_in_the_estimator(cancer):
    forest = RandomForestClassifier(3).fit(cancer.data, cancer.target)
    rows = np.full((1, 30), 1e300)
    with pytest.raises(ValueError, match="float32"):
        forest.predict(rows)
    with pytest.raises(ModelFailed):
        handle(forest).predict(rows)


@pytest.mark.filterwarnings("ignore")
def test_a_logarithm_of_zero_inside_a_pipeline_is_a_failure_as_in_the_estimator():
    rows = np.arange(1.0, 9).reshape(4, 2)
    model = handle(
        make_pipeline(FunctionTransformer(np.exp), LogisticRegression()).fit(rows, [0, 1, 0, 1])
    )
    with pytest.raises(ModelFailed):
        model.predict(np.array([[1e5, 1.0]]))


def test_several_threads_get_their_own_answers(cancer):
    model = handle(LogisticRegression(max_iter=10_000).fit(cancer.data, cancer.target))
    expected = model.predict(cancer.data).probabilities
    found = {}

    def ask(part):
        for row in range(part, 200, 4):
            found[row] = model.predict(cancer.data[row : row + 1]).probabilities[0]

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    # A batch and a single row may differ in the last bit of a sum, never more.
    assert np.allclose([found[row] for row in range(200)], expected[:200], rtol=1e-12, atol=0)


def test_a_handle_says_who_it_is(cancer):
    model = handle(LogisticRegression(max_iter=10_000).fit(cancer.data, cancer.target))
    renamed = ModelHandle(replace(model.card, name="other", version="9"), model._estimator)

    assert (renamed.name, renamed.version) == ("other", "9")
    assert len({model, renamed}) == 2


@pytest.mark.parametrize(
    ("before", "after", "finer"),
    [
        ([[0.25, 0.75]], [[0.3, 0.7]], False),
        ([[0.25, 0.75]], [[None, 0.7]], False),
        ([[0.25, 0.75]], None, False),
        (None, None, False),
        (None, [[0.25, 0.75]], True),
        ([[None, 0.75]], [[0.25, 0.75]], True),
        ([[None, 0.75]], [[None, 0.8]], False),
        ([[0.25, 0.75]], [[0.25, 0.75, 0.0]], True),
        ([[0.25, 0.75]], [[0.25, 0.75]] * 2, True),
    ],
)
def test_a_result_tells_whether_another_says_more(before, after, finer):
    ours, other = Result([1], before), Result([1], after)
    if finer:
        with pytest.raises(ValueError):
            ours.check_coarser(other)
    else:
        ours.check_coarser(other)


def test_a_result_has_as_many_answers_as_it_had():
    with pytest.raises(ValueError, match="another number"):
        Result([1]).check_coarser(Result([1, 2]))


@pytest.mark.filterwarnings("ignore")
def test_a_step_that_overflows_is_a_failure_as_in_the_pipeline():
    """What lies between two steps is looked at, though the input was proved finite."""
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, [0, 0, 1, 1])
    model = handle(pipeline)
    assert model._lean
    for scaler in (pipeline[0], model._transforms[0]):
        scaler.scale_ = np.array([5e-324, 1.0])
    with pytest.raises(ValueError, match="infinity"):
        pipeline.predict(rows)
    with pytest.raises(ModelFailed, match=r"raised\.ValueError"):
        model.predict(rows)


@pytest.mark.filterwarnings("ignore")
def test_a_step_that_answers_in_frames_is_asked_as_it_is():
    pytest.importorskip("pandas")
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, [0, 0, 1, 1])
    pipeline.set_output(transform="pandas")
    assert handle(pipeline).predict(rows).predictions == pipeline.predict(rows).tolist()
