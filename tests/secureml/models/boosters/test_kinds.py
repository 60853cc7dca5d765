"""Models of xgboost, lightgbm, catboost and imbalanced-learn are data, and answer as before."""

from __future__ import annotations

import io
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters.kinds import KINDS, name_of
from secureml.models.data_form.reader import names, read
from secureml.models.sealing import packaging
from secureml.models.sealing.model_file import Names, load
from secureml.models.serving.registry import Registry
from tests import data_forms
from tests.data_forms import convert_here, edited
from tests.library_models import RECIPES, ROWS, fitted
from tests.optional_packages import need

pytestmark = pytest.mark.filterwarnings("ignore")


def file_of(model):
    written = io.BytesIO()
    joblib.dump(model, written)
    return written.getvalue()


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_answers_as_before_from_its_file_and_from_its_data(name):
    model = fitted(name)
    from_file = load(file_of(model), Names())
    from_data = data_forms.estimator_of(data_forms.form_of(from_file))
    for other in (from_file, from_data):
        for method in ("predict", "predict_proba"):
            if hasattr(model, method):
                before = np.asarray(getattr(model, method)(ROWS))
                after = np.asarray(getattr(other, method)(ROWS))
                assert before.tolist() == after.tolist()


@pytest.mark.parametrize(
    "name",
    [
        "xgboost of three classes",
        "lightgbm of three classes",
        "catboost of three classes",
        "catboost of words",
        "catboost searched",
        "imblearn over-sampled",
    ],
)
def test_a_model_of_a_frame_is_sealed_and_served_to_the_bit(name, tmp_path):
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c", "d"])
    model = fitted(name, frame)
    joblib.dump(model, tmp_path / "m.joblib")
    frame.assign(answer=RECIPES[name].answers).to_csv(tmp_path / "t.csv", index=False)
    place = packaging.SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: 0.0, convert=convert_here
    )
    order = packaging.Order(tmp_path / "m.joblib", "m", tmp_path / "t.csv", "answer")
    sealed = packaging.seal(order, place)
    handle = Registry(tmp_path / "models").prove("m", sealed.version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning for each request would be one too many
        found = handle.predict(handle.read(frame.to_dict("records")))

    assert sealed.card.kind == "classifier"
    assert [feature.name for feature in sealed.card.features] == ["a", "b", "c", "d"]
    # Of rows in the same order of memory: NumPy adds up columns in another.
    assert found.predictions == np.ravel(model.predict(ROWS)).tolist()
    assert found.probabilities == model.predict_proba(ROWS).tolist()


def test_the_version_of_a_library_is_on_the_card_and_another_is_refused(tmp_path, monkeypatch):
    lightgbm = need("lightgbm")
    joblib.dump(fitted("lightgbm of two classes"), tmp_path / "m.joblib")
    place = packaging.SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: 0.0, convert=convert_here
    )
    card = packaging.seal(packaging.Order(tmp_path / "m.joblib", "m"), place).card
    assert card.versions["lightgbm"] == lightgbm.__version__
    monkeypatch.setattr(lightgbm, "__version__", "9.9")
    with pytest.raises(ModelRefused, match=r"sealed with lightgbm .*, this is lightgbm 9\.9"):
        Registry(tmp_path / "models").prove("m", "1")


def test_a_library_that_is_missing_is_told_with_what_to_install(tmp_path, monkeypatch):
    need("lightgbm")
    joblib.dump(fitted("lightgbm of two classes"), tmp_path / "m.joblib")
    place = packaging.SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: 0.0, convert=convert_here
    )
    packaging.seal(packaging.Order(tmp_path / "m.joblib", "m"), place)
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(ModelRefused) as refused:
        Registry(tmp_path / "models").prove("m", "1")

    assert "the model needs lightgbm" in refused.value.message
    assert refused.value.fix == "script/extras lightgbm"


def test_what_a_sampler_has_learned_is_left_behind():
    """It is rows of the training table, and no answer needs them."""
    form = data_forms.form_of(fitted("imblearn over-sampled"))

    found = data_forms.estimator_of(form)
    assert not [name for name in vars(found.steps[1][1]) if name.endswith("_")]


@pytest.mark.parametrize(
    ("name", "count"),
    [("xgboost of two classes", "n_jobs"), ("lightgbm of two classes", "n_jobs")],
)
def test_a_model_works_in_one_thread(name, count):
    found = data_forms.estimator_of(data_forms.form_of(fitted(name)))

    assert getattr(found, count) == 1


def test_a_booster_of_xgboost_and_a_model_of_catboost_take_one_thread(monkeypatch):
    import json

    found = data_forms.estimator_of(data_forms.form_of(fitted("xgboost of two classes")))
    said = json.loads(found.get_booster().save_config())
    assert said["learner"]["generic_param"]["nthread"] == "1"

    need("catboost")
    from catboost.core import _CatBoostBase

    asked = []

    class Counted:
        def _base_predict(self, *arguments):
            asked.append(arguments[4])

    data_forms.estimator_of(data_forms.form_of(fitted("catboost of two classes")))
    model = type("Other", (_CatBoostBase,), {"__init__": lambda self: None})()
    model._object = Counted()
    model._base_predict(None, None, None, None, -1, None, None)
    assert asked == [1]


def node_of_booster(nodes):
    return next(node for node in nodes if node[0] == "booster")


def rename(nodes, name):
    node_of_booster(nodes)[1] = name


def no_state(nodes):
    nodes[node_of_booster(nodes)[3]] = ["list", []]


@pytest.mark.parametrize(
    ("name", "edit", "says"),
    [
        ("xgboost of two classes", no_state, "no plain data"),
        (
            "xgboost of two classes",
            lambda nodes: rename(nodes, "sklearn.tree._classes.DecisionTreeClassifier"),
            "is no booster",
        ),
        ("lightgbm of two classes", no_state, "no plain data"),
        (
            "lightgbm of two classes",
            lambda nodes: rename(nodes, "xgboost.core.Booster"),
            "beside the booster is not what is written of one",
        ),
        (
            "catboost of two classes",
            lambda nodes: rename(nodes, "lightgbm.basic.Booster"),
            "beside the booster is not what is written of one",
        ),
    ],
)
def test_attack_a_form_of_a_booster_that_no_writer_writes_is_refused(name, edit, says):
    need("xgboost", "lightgbm")
    form = edited(data_forms.form_of(fitted(name)), edit)
    with pytest.raises(ModelRefused, match=says):
        read(form, allowed=names(form))


BARE = b"\x80\x05cxgboost.core\nBooster\n)\x81"


def part(value):
    """Return the part of a pickle that makes a value."""
    return pickle.dumps(value, 5)[2:-1]


def test_attack_a_pickle_gives_a_booster_its_state_once_and_plain():
    need("xgboost")
    state = part(fitted("xgboost of two classes").get_booster().__getstate__()) + b"b"
    assert load(BARE + state + b".", Names()).num_features() == 4
    for stream, says in (
        (BARE + state + state + b".", "alters a Booster"),
        (BARE + part({"handle": None, "other": StandardScaler()}) + b"b.", "more than plain data"),
        (BARE + part([]) + b"b.", "more than plain data"),
        (BARE + part({"handle": "text"}) + b"b.", "cannot be read"),
    ):
        with pytest.raises(ModelRefused, match=says):
            load(stream, Names())


def test_every_kind_is_a_class_of_its_library():
    need("xgboost", "lightgbm", "catboost")
    import importlib

    for name in KINDS:
        module, _, kind = name.rpartition(".")
        assert name_of(getattr(importlib.import_module(module), kind)) == name
    assert name_of(dict) is None
