"""Tensors become the rows of the card, or are refused with the place."""

from __future__ import annotations

import pytest

from plugins.open_inference.datatypes import DATATYPES
from plugins.open_inference.instances import instances_of
from plugins.open_inference.refusal import TensorsRefused
from plugins.open_inference.tensors import Tensor
from secureml.kit.cards import Feature

FEATURES = (Feature("a"), Feature("b", "integer"), Feature("c/d", "text"))
NUMBERS = FEATURES[:2]


def tensor(name, values, *, shape=None, datatype="FP64", number=0):
    made = shape or (len(values),)
    return Tensor(name, DATATYPES[datatype], made, values, f"/inputs/{number}")


def faults(tensors, features=FEATURES):
    with pytest.raises(TensorsRefused) as wrong:
        instances_of(tensors, features, 10**6)
    return wrong.value.faults


def test_columns_come_in_any_order_and_rows_in_that_of_the_card():
    found = instances_of(
        [
            tensor("c/d", ["x", "y"], datatype="BYTES"),
            tensor("b", [1, 2], datatype="INT32", shape=(2, 1)),
            tensor("a", [0.5, None]),
        ],
        FEATURES,
        10**6,
    )
    assert found == [[0.5, 1, "x"], [None, 2, "y"]]


@pytest.mark.parametrize("name", ["input-0", "predict", "x"])
def test_one_tensor_of_another_name_holds_all_columns(name):
    made = tensor(name, [1.0, 2, 3, 4], shape=(2, 2))
    assert instances_of([made], NUMBERS, 10**6) == [[1.0, 2], [3, 4]]


def test_the_only_column_may_be_named_or_not():
    for name in ("a", "input-0"):
        made = tensor(name, [1.0, 2.0], shape=(2, 1))
        assert instances_of([made], FEATURES[:1], 10**6) == [[1.0], [2.0]]


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
def test_all_columns_are_as_many_as_the_card_has(shape):
    made = tensor("x", [1.0, 2.0, 3.0, 4.0], shape=shape)
    assert faults([made], NUMBERS) == [("/inputs/0/shape", "feature_count")]


def test_a_tensor_of_all_columns_fits_each_of_them():
    made = tensor("x", [1.0, 2.0, 3.0], shape=(1, 3))
    assert faults([made]) == [("/inputs/0/datatype", "datatype")]


def test_unknown_missing_and_wrong_columns_are_named():
    given = [
        tensor("a", [True], datatype="BOOL"),
        tensor("bogus", [1.0], number=1),
        tensor("b", [1, 2], datatype="INT64", number=2),
    ]
    assert faults(given) == [
        ("/inputs/0/datatype", "datatype"),
        ("/inputs/1/name", "unknown_feature"),
        ("/inputs/2/shape", "row_count"),
        ("/inputs/c~1d", "missing_feature"),
    ]


def test_a_column_is_no_matrix():
    given = [tensor("a", [1.0, 2.0], shape=(1, 2)), tensor("b", [1.0], number=1)]
    assert faults(given, NUMBERS) == [("/inputs/0/shape", "shape")]


def test_more_rows_than_a_body_of_the_other_route_holds_are_not_made():
    made = tensor("x", [True] * 26, shape=(26, 1), datatype="BOOL")
    features = (Feature("a", "boolean"),)
    assert len(instances_of([made], features, 104)) == 26
    with pytest.raises(TensorsRefused) as wrong:
        instances_of([made], features, 103)
    assert (wrong.value.code, wrong.value.faults) == ("too_many_rows", [("/inputs", "max_rows")])
