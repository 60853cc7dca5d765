"""A model of CatBoost is checked before CatBoost follows what it holds."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters.catboost_model import check, content_of, model_of
from tests.library_models import ROWS, THREE, fitted
from tests.optional_packages import need


@pytest.fixture(scope="module")
def content():
    need("catboost")
    return content_of(fitted("catboost of three classes"))


@pytest.fixture(scope="module")
def of_leaves():
    need("catboost")
    return content_of(fitted("catboost by leaves"))


def place_of(content, field):
    """Return where the array of a field of the trees begins, and its length."""
    data = content[8:]

    def fields(table):
        start = table - struct.unpack_from("<i", data, table)[0]
        size = struct.unpack_from("<H", data, start)[0]
        return [struct.unpack_from("<H", data, start + at)[0] for at in range(4, size, 2)]

    root = struct.unpack_from("<I", data, 0)[0]
    pointer = root + fields(root)[1]
    trees = pointer + struct.unpack_from("<I", data, pointer)[0]
    pointer = trees + fields(trees)[field]
    begin = pointer + struct.unpack_from("<I", data, pointer)[0]
    return begin + 4 + 8, struct.unpack_from("<I", data, begin)[0]


def put(field, item, number, form="<i"):
    def edit(content):
        begin, count = place_of(content, field)
        made = bytearray(content)
        struct.pack_into(form, made, begin + struct.calcsize(form) * (item % count), number)
        return bytes(made)

    return edit


def put_count(field, number):
    def edit(content):
        made = bytearray(content)
        struct.pack_into("<I", made, place_of(content, field)[0] - 4, number)
        return bytes(made)

    return edit


ATTACKS = {
    "a split of no border": put(1, 0, 10**6),
    "a split below zero": put(1, 0, -1),
    "a tree of other splits": put(2, 0, 1),
    "a tree below zero": put(2, 0, -3),
    "a tree beyond all bounds": put(2, 0, 2**30),
    "a tree that begins elsewhere": put(3, -1, 0),
    "a column of the row that there is not": put(17, 0, 0x0100FFFF, "<I"),
    "a border of another column": put(17, 0, 0x7F000000, "<I"),
    "fewer leaves than there are": put_count(8, 1),
    "more leaves than the file has": put_count(8, 2**31),
    "fewer splits than there are": put_count(1, 1),
    "fewer places than there are": put_count(17, 1),
    "biases of other outputs": put_count(16, 2),
    "a length that is not the file's": lambda content: content + b"\0",
    "another file": lambda content: b"CBM2" + content[4:],
    "a table outside": lambda content: content[:8] + struct.pack("<I", 2**31) + content[12:],
    "a label beyond the outputs": lambda content: content.replace(
        b'"class_to_label":[0,1,2]', b'"class_to_label":[0,1,9]'
    ),
    "fewer labels than outputs": lambda content: content.replace(
        b'"class_to_label":[0,1,2]', b'"class_to_label":[0,1]  '
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_what_catboost_would_follow_out_of_its_memory_is_refused(content, attack):
    hostile = ATTACKS[attack](content)
    assert hostile != content
    with pytest.raises(ModelRefused) as refused:
        check(hostile)

    assert "is not what CatBoost writes" in refused.value.message
    assert refused.value.fix


@pytest.mark.parametrize(
    ("field", "number"), [(10, 0xFFFF), (10, 0xFFFF0000), (11, 10**9), (11, 2**32 - 1)]
)
def test_attack_a_step_out_of_its_tree_is_refused(of_leaves, field, number):
    begin, count = place_of(of_leaves, field)
    refused = 0
    for item in range(count):
        try:
            check(put(field, item, number, "<I")(of_leaves))
        except ModelRefused:
            refused += 1
    # What no row reaches may hold what it likes: the leaf of a step that goes on.
    assert refused >= count // 3
    assert begin


def test_attack_leaves_of_steps_without_steps_are_refused(of_leaves):
    with pytest.raises(ModelRefused, match="the leaves of steps, and no steps"):
        check(put_count(10, 0)(of_leaves))


def test_attack_a_cut_or_a_flipped_bit_crashes_nothing(content):
    rows = ROWS[:5]
    for place in range(8, len(content), 211):
        made = bytearray(content)
        made[place] ^= 1 << (place % 8)
        try:
            check(bytes(made))
        except ModelRefused:
            continue
        from catboost import CatBoostClassifier, CatBoostError

        try:
            np.asarray(model_of(CatBoostClassifier, bytes(made), {}).predict(rows))
        except (CatBoostError, ValueError, KeyError, TypeError, UnicodeDecodeError):
            continue
    for end in range(0, len(content), 499):
        with pytest.raises(ModelRefused):
            check(content[:end])


def test_what_is_honest_and_not_checked_is_told_with_the_way_out():
    catboost = need("catboost")
    frame = pd.DataFrame({"a": ["x", "y", "z"] * 50, "b": ROWS[:, 0]})
    model = catboost.CatBoostClassifier(
        iterations=2, verbose=0, allow_writing_files=False, cat_features=["a"]
    ).fit(frame, THREE)
    with pytest.raises(ModelRefused) as refused:
        content_of(model)

    assert refused.value.check == "card"
    assert "columns of categories" in refused.value.message
    assert "OrdinalEncoder" in refused.value.fix


def test_one_that_is_not_fitted_is_made_of_its_options_alone():
    """A search keeps it beside the best that it has found."""
    catboost = need("catboost")
    content = content_of(catboost.CatBoostClassifier(depth=3))

    assert content == b""
    assert model_of(catboost.CatBoostClassifier, content, {"depth": 3}).get_params() == {"depth": 3}
