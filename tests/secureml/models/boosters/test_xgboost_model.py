"""A booster of XGBoost is checked before XGBoost follows what it holds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters import ubjson
from secureml.models.boosters.xgboost_model import booster_of, check, content_of
from tests.library_models import ROWS, THREE, fitted
from tests.optional_packages import need

_CODES = {"i1": b"i", "u1": b"U", "i2": b"I", "i4": b"l", "i8": b"L", "f4": b"d", "f8": b"D"}


def dumps(value):
    """Write what `ubjson.loads` reads."""
    if isinstance(value, dict):
        return b"{" + b"".join(text(key) + dumps(held) for key, held in value.items()) + b"}"
    if isinstance(value, np.ndarray):
        code = _CODES[value.dtype.str[1:]]
        return b"[$" + code + b"#" + length(len(value)) + value.tobytes()
    if isinstance(value, list):
        return b"[" + b"".join(map(dumps, value)) + b"]"
    if isinstance(value, str):
        return b"S" + text(value)
    return b"L" + value.to_bytes(8, "big", signed=True)


def length(number):
    return b"L" + number.to_bytes(8, "big", signed=True)


def text(value):
    return length(len(value.encode())) + value.encode()


@pytest.fixture
def content():
    need("xgboost")
    return content_of(fitted("xgboost of three classes").get_booster())


def tree_of(learner, place=0):
    return learner["gradient_booster"]["model"]["trees"][place]


def put(name, place, value):
    def edit(learner):
        tree = tree_of(learner)
        tree[name] = tree[name].copy()
        tree[name][place] = value

    return edit


def model(name, value):
    return lambda learner: learner["gradient_booster"]["model"].__setitem__(name, value)


def parameter(name, value):
    return lambda learner: learner["learner_model_param"].__setitem__(name, value)


ATTACKS = {
    "a child outside": put("left_children", 0, 2**30),
    "a child below zero": put("left_children", 0, -7),
    "a child that is the root": put("right_children", 0, 0),
    "a child of two parents": lambda learner: put(
        "right_children", 0, int(tree_of(learner)["left_children"][0])
    )(learner),
    "a parent below zero": put("parents", 3, -1),
    "a parent outside": put("parents", 1, 2**30),
    "a parent that is not above": put("parents", 1, 2),
    "one child": put("right_children", 0, -1),
    "a column that there is not": put("split_indices", 0, 4),
    "a column beyond all": put("split_indices", 0, 2**31 - 1),
    "fewer columns than are asked": parameter("num_feature", "1"),
    "columns that are no number": parameter("num_feature", "-4"),
    "columns beyond all bounds": parameter("num_feature", "999999999"),
    "classes beyond all bounds": parameter("num_class", "999999999"),
    "more nodes than there are": lambda learner: tree_of(learner)["tree_param"].__setitem__(
        "num_nodes", "5000"
    ),
    "an output that there is not": model("tree_info", np.full(15, 3, ">i4")),
    "an output below zero": model("tree_info", np.full(15, -1, ">i4")),
    "rounds that divide nothing": model("iteration_indptr", np.array([0, 99], ">i4")),
    "rounds that go back": model("iteration_indptr", np.array([0, 15, 3, 15], ">i4")),
    "no rounds": model("iteration_indptr", []),
    "no trees": model("trees", []),
    "trees in another order": lambda learner: tree_of(learner).__setitem__("id", 5),
    "an array of another length": lambda learner: tree_of(learner).__setitem__(
        "base_weights", np.zeros(1, ">f4")
    ),
    "an array of texts": lambda learner: tree_of(learner).__setitem__("split_type", ["a"]),
    "a booster of no name": lambda learner: learner["gradient_booster"].__setitem__("name", "x"),
    "an objective of no name": lambda learner: learner["objective"].__setitem__("name", "../x"),
    "names of other columns": lambda learner: learner.__setitem__("feature_names", ["a"]),
    "a base that is no number": parameter("base_score", "x" * 9),
    "no parameters": lambda learner: learner.pop("learner_model_param"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_what_xgboost_would_follow_out_of_its_memory_is_refused(content, attack):
    found = ubjson.loads(content)
    ATTACKS[attack](found["learner"])
    with pytest.raises(ModelRefused) as refused:
        check(dumps(found))

    assert "is not what XGBoost writes" in refused.value.message
    assert refused.value.fix


def test_the_writer_of_these_attacks_writes_what_is_read(content):
    booster = booster_of(dumps(ubjson.loads(content)))

    assert booster.num_boosted_rounds() == 5


def test_what_is_honest_and_not_checked_is_told_with_the_way_out():
    xgboost = need("xgboost")
    import pandas as pd

    frame = pd.DataFrame({"a": pd.Categorical(["x", "y", "z"] * 50), "b": ROWS[:, 0]})
    for options, rows, answers, fix in (
        ({"enable_categorical": True}, frame, THREE, "OrdinalEncoder"),
        ({"multi_strategy": "multi_output_tree"}, ROWS, ROWS[:, :2], "one_output_per_tree"),
    ):
        booster = xgboost.XGBRegressor(n_estimators=2, **options).fit(rows, answers).get_booster()
        with pytest.raises(ModelRefused) as refused:
            content_of(booster)
        assert refused.value.check == "card"
        assert fix in refused.value.fix


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\x80\x05.", json.dumps({"learner": 1}).encode()]
)
def test_attack_bytes_of_something_else_are_refused(content):
    with pytest.raises(ModelRefused):
        check(content)


def test_attack_no_cut_of_it_is_read(content):
    for end in range(0, len(content), 97):
        with pytest.raises(ModelRefused):
            check(content[:end])
