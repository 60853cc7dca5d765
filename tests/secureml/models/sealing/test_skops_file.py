"""Files of skops are read without pickle, and hold nothing that our own data form refuses."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.model_file import Names, load
from secureml.models.serving.no_unpickling import UnpicklingRefused
from tests.optional_packages import need

GENERATOR = np.random.default_rng(0)
ROWS, ANSWERS = GENERATOR.random((60, 4)), np.arange(60) % 3
MODELS = {
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(5, n_jobs=2),
    "boosting": HistGradientBoostingClassifier(max_iter=3),
    "vectors": SVC(),
    "function": make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
}


@pytest.fixture
def skops():
    need("skops")
    from skops import io as found

    return found


def edited(content, edit, name="schema.json"):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(file, "w") as after:
        for member in before.namelist():
            held = before.read(member)
            after.writestr(member, edit(held) if member == name else held)
    return file.getvalue()


@pytest.mark.parametrize("kind", MODELS)
def test_an_estimator_answers_as_before_and_in_one_thread(skops, kind):
    model = MODELS[kind].fit(ROWS, ANSWERS)
    found = load(skops.dumps(model), Names())

    assert found.predict(ROWS).tobytes() == model.predict(ROWS).tobytes()
    assert getattr(found, "n_jobs", None) in (None, 1)


def test_nothing_of_it_is_unpickled(skops, monkeypatch):
    """skops of protocols before its own read object arrays with pickle: ours names no such file."""
    content = skops.dumps(MODELS["forest"].fit(ROWS, ANSWERS))

    def refuse(event, arguments):
        if event == "pickle.find_class" and watching:
            raise UnpicklingRefused(arguments)

    watching = [True]
    sys.addaudithook(refuse)
    try:
        load(content, Names())
    finally:
        watching.clear()


def test_skops_that_is_not_installed_is_told_with_what_to_install(skops, monkeypatch):
    content = skops.dumps(MODELS["linear"].fit(ROWS, ANSWERS))
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(ModelRefused) as refused:
        load(content, Names())

    assert "skops, which is not installed here" in refused.value.message
    assert "script/extras skops" in refused.value.fix


def test_a_class_that_is_not_allowed_is_named_before_it_is_imported(skops):
    content = skops.dumps(MODELS["linear"].fit(ROWS, ANSWERS))
    hostile = edited(
        content,
        lambda text: text.replace(b'"StandardScaler"', b'"Popen"').replace(
            b'"sklearn.preprocessing._data"', b'"subprocess"'
        ),
    )
    with pytest.raises(ModelRefused) as refused:
        load(hostile, Names())

    assert refused.value.check == "globals"
    assert "subprocess.Popen, which can never be allowed" in refused.value.message


def test_attack_a_tree_that_points_outside_itself_is_refused_before_it_is_asked(skops):
    """skops trusts what a decision tree holds; our data form looks at it."""
    model = RandomForestClassifier(1, random_state=0).fit(ROWS, ANSWERS)
    state = model.estimators_[0].tree_.__getstate__()
    left = state["nodes"]["left_child"]
    held = next(place for place in range(len(left)) if left[place] > 0)
    state["nodes"]["left_child"][held] = 2**30
    content = skops.dumps(model)
    schema = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("schema.json"))
    member = next(name for name in nodes_of(schema))
    array = io.BytesIO()
    np.save(array, state["nodes"])
    with pytest.raises(ModelRefused) as refused:
        load(edited(content, lambda _: array.getvalue(), member), Names())

    assert refused.value.check in ("format", "globals")
    assert "tree_" in refused.value.message


def nodes_of(node):
    """Return the files of the nodes of trees in a schema."""
    if isinstance(node, dict):
        if node.get("__loader__") == "NdArrayNode" and "file" in node and named(node):
            yield node["file"]
        for key, value in node.items():
            yield from nodes_of({**value, "key": key} if isinstance(value, dict) else value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes_of(value)


def named(node):
    return node.get("key") == "nodes"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (["archive/data.pkl"], "a model of PyTorch"),
        (["config.json", "model.weights.h5"], "a model of Keras"),
        (["a.npy"], "an archive of NumPy arrays"),
        (["note.txt"], "a zip archive, and none of skops"),
    ],
)
def test_another_archive_is_told_by_what_it_is(members, says):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    with pytest.raises(ModelRefused, match=says):
        load(file.getvalue(), Names())


def test_attack_an_archive_that_unpacks_without_end_is_refused_unread():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(2**28 + 1))
    with pytest.raises(ModelRefused, match="unpacks to more than"):
        load(file.getvalue(), Names())


@pytest.mark.parametrize("schema", [b"{", b"[]", b"{}", b'{"protocol": 10000}', b"\xff" * 9])
def test_attack_a_schema_that_is_none_is_one_refusal(skops, schema):
    content = skops.dumps(MODELS["linear"].fit(ROWS, ANSWERS))
    for hostile in (edited(content, lambda _: schema), content[:200]):
        with pytest.raises(ModelRefused) as refused:
            load(hostile, Names())
        assert refused.value.check == "format"
