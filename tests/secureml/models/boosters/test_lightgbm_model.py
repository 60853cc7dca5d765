"""A booster of LightGBM is checked before LightGBM follows what it holds."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters.lightgbm_model import booster_of, check, content_of
from tests.library_models import ROWS, TWO, fitted
from tests.optional_packages import need


@pytest.fixture(scope="module")
def content():
    need("lightgbm")
    return content_of(fitted("lightgbm of three classes")._Booster)


@pytest.fixture(scope="module")
def of_categories():
    lightgbm = need("lightgbm")
    frame = pd.DataFrame({"a": pd.Categorical(list("wxyz") * 100), "b": np.arange(400.0)})
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1)
    model.fit(frame, np.arange(400) * 7 % 4 == 1)
    return model, frame, content_of(model._Booster)


def edited(content, edit):
    """Return a text whose first tree was changed, and the length that the header says of it."""
    text = edit(content.decode())
    head, _, rest = text.partition("\n\nTree=0\n")
    trees = [f"Tree={part}" for part in f"0\n{rest}".split("end of trees")[0].split("Tree=")]
    head = re.sub("tree_sizes=.*", "tree_sizes=" + " ".join(str(len(t)) for t in trees), head)
    return f"{head}\n\n{''.join(trees)}end of trees\n".encode()


def line(name, value):
    """Replace the first line of a name, keeping how many numbers it has where `value` is one."""

    def edit(text):
        found = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
        words = found[1].split(" ")
        new = value if isinstance(value, str) else " ".join([str(value), *words[1:]])
        return text[: found.start()] + f"{name}={new}" + text[found.end() :]

    return edit


ATTACKS = {
    "a child outside": line("left_child", 10**6),
    "a leaf outside": line("left_child", -(10**6)),
    "a child that is the root": line("right_child", 0),
    "a child beyond a word": line("left_child", 2**62),
    "a column that there is not": line("split_feature", 4),
    "a column below zero": line("split_feature", -1),
    "fewer columns than are asked": line("max_feature_idx", "0"),
    "columns beyond all bounds": line("max_feature_idx", "99999999999"),
    "more leaves than there are": line("num_leaves", "3000"),
    "leaves below one": line("num_leaves", "0"),
    "a number that is none": line("leaf_value", "x"),
    "a child that is no whole number": line("left_child", "1.5"),
    "categories that it has not": line("decision_type", 1),
    "a kind of split of nobody": line("decision_type", 64),
    "categories of nothing": line("num_cat", "4"),
    "an objective that is more": line("objective", "binary sigmoid:1;rm"),
    "an objective of more outputs than there are": line(
        "objective", "multiclass num_class:2000000"
    ),
    "an objective that says its outputs twice": line(
        "objective", "multiclass num_class:3 num_class:2000000"
    ),
    "an objective of one against all": line(
        "objective", "multiclassova num_class:2000000 sigmoid:1"
    ),
    "an objective that does not say its outputs": line("objective", "multiclass"),
    "room for one output of three": line("num_class", "1"),
    "names of other columns": line("feature_names", "a b"),
    "outputs beyond the trees": line("num_tree_per_iteration", "7"),
    "no outputs": line("num_tree_per_iteration", "0"),
    "a line twice": lambda text: text.replace("num_cat=0", "num_cat=0\nnum_cat=0", 1),
    "a line of nobody": lambda text: text.replace("num_cat=0", "num_cat=0\nplugin=x", 1),
    "a line of a parser of others": lambda text: text.replace("num_cat=0\n", "num_cat=0\r\n", 1),
    "no leaves": lambda text: text.replace("leaf_value", "leaf_valve", 1),
    "a header line of nobody": lambda text: text.replace("version=v4", "version=v4\nload=x", 1),
    "a tree of another number": lambda text: text.replace("Tree=1\n", "Tree=9\n", 1),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_what_lightgbm_would_follow_out_of_its_memory_is_refused(content, attack):
    with pytest.raises(ModelRefused) as refused:
        check(edited(content, ATTACKS[attack]))

    assert "is not what LightGBM writes" in refused.value.message
    assert refused.value.fix


def test_the_writer_of_these_attacks_writes_what_is_read(content):
    assert edited(content, lambda text: text) == content


@pytest.mark.parametrize(
    "sizes", ["", "1", "999999999", "-1 5", "0 " * 15, "a", "100 " * 14 + "100"]
)
def test_attack_a_length_of_a_tree_that_it_does_not_have_is_refused(content, sizes):
    """LightGBM reads each tree from where the lengths before it end, in threads."""
    text = re.sub("tree_sizes=.*", f"tree_sizes={sizes.strip()}", content.decode())
    with pytest.raises(ModelRefused):
        check(text.encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cat_boundaries", "0 100"),
        ("cat_boundaries", "1 1"),
        ("cat_boundaries", "0"),
        ("cat_threshold", "-1"),
        ("cat_threshold", "99999999999"),
        ("threshold", 5),
        ("threshold", "nan"),
    ],
)
def test_attack_a_category_outside_its_bits_is_refused(of_categories, name, value):
    content = of_categories[2]
    assert b"num_cat=1" in content
    with pytest.raises(ModelRefused):
        check(edited(content, line(name, value)))


def test_columns_of_categories_are_answered_as_before(of_categories):
    model, frame, content = of_categories
    codes = np.c_[frame["a"].cat.codes, frame["b"]]

    found = booster_of(content).predict(codes)
    assert found.tolist() == model._Booster.predict(frame).tolist()


def test_attack_a_chain_of_splits_is_no_deeper_than_lightgbm_can_walk(content):
    leaves = 5000
    splits = leaves - 1
    chain = {
        "num_leaves": leaves,
        "num_cat": 0,
        "split_feature": " ".join(["0"] * splits),
        "split_gain": " ".join(["1"] * splits),
        "threshold": " ".join(["0.5"] * splits),
        "decision_type": " ".join(["2"] * splits),
        "left_child": " ".join(str(i + 1) if i + 1 < splits else "-1" for i in range(splits)),
        "right_child": " ".join(str(-(i + 2)) for i in range(splits)),
        "leaf_value": " ".join(["1"] * leaves),
        "internal_value": " ".join(["0"] * splits),
        "internal_weight": " ".join(["0"] * splits),
        "internal_count": " ".join(["1"] * splits),
        "is_linear": 0,
        "shrinkage": 1,
    }
    tree = "Tree=0\n" + "".join(f"{name}={value}\n" for name, value in chain.items()) + "\n\n"
    head = content.decode().partition("\n\nTree=0\n")[0]
    head = re.sub("tree_sizes=.*", f"tree_sizes={len(tree)}", head)
    head = head.replace("num_class=3", "num_class=1").replace("iteration=3", "iteration=1")
    head = re.sub("objective=.*", "objective=regression", head)
    with pytest.raises(ModelRefused, match="deeper than"):
        check(f"{head}\n\n{tree}end of trees\n".encode())


def test_what_is_honest_and_not_checked_is_told_with_the_way_out():
    lightgbm = need("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, linear_tree=True).fit(ROWS, TWO)
    with pytest.raises(ModelRefused) as refused:
        content_of(model._Booster)

    assert refused.value.check == "card"
    assert "linear_tree=False" in refused.value.fix


@pytest.mark.parametrize(
    "content", [b"", b"tree\n", b"end of trees\n", b"\xff", b"tree\nend of trees\n"]
)
def test_attack_bytes_of_something_else_are_refused(content):
    with pytest.raises(ModelRefused):
        check(content)


def test_what_is_kept_says_nothing_of_where_it_was_trained(content):
    """LightGBM writes its parameters after the trees: paths of tables, machines, ports."""
    assert b"parameters" not in content
    assert b"machine" not in content
