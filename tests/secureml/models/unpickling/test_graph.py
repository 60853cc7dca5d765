from __future__ import annotations

import io
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.handle import prepare
from secureml.models.unpickling import graph
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.callable_attributes import wrong_method_name
from secureml.models.unpickling.file_inputs import check_reads_no_files
from secureml.models.unpickling.graph import edges, parts
from secureml.models.unpickling.reader import load_estimator

ROWS = np.random.default_rng(0).normal(size=(60, 3))
ANSWERS = np.arange(60) % 2


@pytest.mark.parametrize(
    "keep",
    [
        lambda part: part,
        lambda part: [part],
        lambda part: (part,),
        lambda part: {"a": part},
        lambda part: np.array([part, None], dtype=object),
        lambda part: SimpleNamespace(inner=part),
        lambda part: [{"a": (SimpleNamespace(inner=np.array([[part]], dtype=object)),)}],
        lambda part: np.ma.array([part, None], mask=[1, 0], dtype=object),
    ],
    ids=["bare", "list", "tuple", "dict", "array", "object", "all of them", "masked"],
)
def test_an_estimator_is_found_however_it_is_kept(keep):
    outer, inner = LogisticRegression(), LogisticRegression(C=2)
    outer.kept_ = keep(inner)

    assert list(parts(outer)) == [outer, inner]


@pytest.mark.parametrize("ensemble", [True, False])
def test_a_calibrated_forest_answers_in_one_thread(ensemble):
    """Its forests lie in plain objects, and kept n_jobs=-1: a pool of threads a request."""
    forest = RandomForestClassifier(3, n_jobs=-1, random_state=0)
    model = CalibratedClassifierCV(forest, cv=2, n_jobs=-1, ensemble=ensemble).fit(ROWS, ANSWERS)
    prepare(model, keep_names=False)
    asked = [inner.estimator for inner in model.calibrated_classifiers_]

    assert [found.n_jobs for found in asked] == [1] * len(asked)
    assert {part.n_jobs for part in parts(model) if vars(part).get("n_jobs")} == {1}


class Agreeing(str):
    """Text that equals whatever it is compared with."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return True


@pytest.mark.parametrize(
    "source",
    [
        "filename",
        "file",
        np.str_("filename"),
        np.str_("content"),
        np.array("filename"),
        np.array("content"),
        np.array(["filename"]),
        Agreeing("content"),
        b"content",
        None,
        "",
    ],
    ids=repr,
)
def test_a_vectoriser_that_opens_files_is_found_inside_a_calibrated_model(source):
    words = ["good morning", "bad evening"] * 10
    text = make_pipeline(CountVectorizer(), LogisticRegression())
    model = CalibratedClassifierCV(text, cv=2).fit(words, [1, 0] * 10)
    check_reads_no_files(model)
    model.calibrated_classifiers_[0].estimator[0].input = source
    with pytest.raises(ModelRefused, match="opens the files"):
        check_reads_no_files(model)


@pytest.mark.parametrize("kind", [CountVectorizer, HashingVectorizer, TfidfVectorizer])
def test_a_vectoriser_that_does_not_say_its_input_is_refused(kind):
    silent, plain = kind(), kind()
    del silent.input
    check_reads_no_files(plain)
    with pytest.raises(ModelRefused, match="opens the files"):
        check_reads_no_files(silent)


def test_a_vectoriser_whose_input_is_an_array_is_not_even_loaded():
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    model[0].input = np.array("filename")
    written = io.BytesIO()
    joblib.dump(model, written)
    with pytest.raises(ModelRefused, match="opens the files"):
        load_estimator(written.getvalue(), builtin_names())


def test_an_input_that_is_an_array_ends_nothing():
    model = LogisticRegression()
    model.input = np.array(["filename", "file"])
    check_reads_no_files(model)


def test_each_place_of_a_shared_list_is_seen_with_its_owner():
    shared = [np.log1p]
    first, second = LogisticRegression(), RandomForestClassifier()
    first.one_, first.other_, second.third_ = shared, second, shared
    seen = {(type(owner).__name__, key) for owner, key, held in edges(first) if held is np.log1p}

    assert seen == {("LogisticRegression", "one_"), ("RandomForestClassifier", "third_")}


def test_what_is_not_entered_is_seen_but_not_looked_into():
    outer, inner = LogisticRegression(), SimpleNamespace(secret=RandomForestClassifier())
    outer.kept_ = inner
    seen = [held for _, _, held in edges(outer, lambda owner, key, held: held is not inner)]

    assert inner in seen
    assert inner.secret not in seen


def test_the_same_large_list_a_thousand_times_over_is_refused(monkeypatch):
    monkeypatch.setattr(graph, "STEP_LIMIT", 10_000)
    model, large = LogisticRegression(), list(range(100))
    for place in range(200):
        setattr(model, f"place{place}_", large)
    with pytest.raises(ModelRefused, match="too many times") as refused:
        list(edges(model))

    assert refused.value.check == "format"


def test_classes_functions_and_modules_are_not_looked_into():
    model = LogisticRegression()
    model.kept_ = [np, parts, LogisticRegression, np.log1p, model.fit]

    assert list(parts(model)) == [model]


def test_no_method_of_a_value_is_called():
    class Loud(dict):
        def __getattribute__(self, key):
            raise AssertionError(key)

        values = items = __iter__ = __len__ = __getattribute__

    model = LogisticRegression()
    model.kept_ = [Loud()]

    assert sum(1 for _ in edges(model)) >= 3


@pytest.mark.parametrize("name", ["coef_", "__init__.__globals__", "auto"])
@pytest.mark.parametrize("kind", [np.str_, Agreeing])
def test_the_name_of_a_method_is_a_plain_text_and_none_of_another_class(name, kind):
    chooser = RFE(LogisticRegression())

    assert wrong_method_name(chooser, "importance_getter", "named_steps.last.coef_") is None
    assert wrong_method_name(chooser, "importance_getter", kind(name)) == kind.__name__
    assert wrong_method_name(chooser, "response_method", kind("predict")) == kind.__name__


def test_a_model_whose_getter_is_numpys_text_is_not_loaded():
    written = io.BytesIO()
    getter = np.str_("__init__.__globals__")
    joblib.dump(RFE(LogisticRegression(), importance_getter=getter), written)
    with pytest.raises(ModelRefused, match="importance_getter"):
        load_estimator(written.getvalue(), builtin_names())
