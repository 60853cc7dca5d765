from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.models.card import Feature
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from tests.made_card import card

PLAIN = card(Feature("mean radius"), Feature("a/b~c"), Feature("z"))
NAMES = ["mean radius", "a/b~c", "z"]
MIXED = card(
    Feature("age", missing="allow"),
    Feature("visits", "integer"),
    Feature("member", "boolean"),
    Feature("colour", "category", categories=("blue", "red")),
    Feature("note", "text", missing="allow"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300)


def faults(about, instances):
    with pytest.raises(RowsRefused) as refused:
        RowReader(about).read(instances)
    return refused.value.faults


def test_lists_are_read_in_the_cards_order():
    rows = RowReader(PLAIN).read([[1, 2.5, -3], [4, 5, 6]])

    assert rows.dtype == np.float64
    assert rows.tolist() == [[1.0, 2.5, -3.0], [4.0, 5.0, 6.0]]


def test_objects_are_read_by_name_in_whatever_order():
    rows = RowReader(PLAIN).read([{"z": 3, "mean radius": 1, "a/b~c": 2}])

    assert rows.tolist() == [[1.0, 2.0, 3.0]]


def test_one_feature_is_read_like_many():
    assert RowReader(card(Feature("x"))).read([{"x": 1}, {"x": 2}]).tolist() == [[1.0], [2.0]]


def test_lists_and_objects_may_be_mixed():
    mixed = [[1, 2, 3], dict(zip(NAMES, [4, 5, 6], strict=True))]

    assert RowReader(PLAIN).read(mixed).tolist() == [[1, 2, 3], [4, 5, 6]]


@given(st.lists(numbers, min_size=3, max_size=3), st.permutations(NAMES))
def test_the_order_of_names_never_changes_the_row(values, order):
    named = dict(zip(NAMES, values, strict=True))
    reader = RowReader(PLAIN)
    expected = reader.read([values])

    assert (reader.read([{name: named[name] for name in order}]) == expected).all()
    assert expected.tolist() == [[float(value) for value in values]]


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([], [("/instances", "empty")]),
        ({}, [("/instances", "type")]),
        (None, [("/instances", "type")]),
        ("abc", [("/instances", "type")]),
        (7, [("/instances", "type")]),
        ([7], [("/instances/0", "instance_type")]),
        (["abc"], [("/instances/0", "instance_type")]),
        ([None], [("/instances/0", "instance_type")]),
        ([[1, 2, 3], [1, 2]], [("/instances/1", "feature_count")]),
        ([[1, 2, 3, 4]], [("/instances/0", "feature_count")]),
        ([[]], [("/instances/0", "feature_count")]),
        ([[1, "2", 3]], [("/instances/0/1", "type")]),
        ([[1, True, 3]], [("/instances/0/1", "type")]),
        ([[1, [2], 3]], [("/instances/0/1", "type")]),
        ([[1, None, 3]], [("/instances/0/1", "missing_value")]),
        ([[1, math.nan, 3]], [("/instances/0/1", "not_finite")]),
        (
            [[math.inf, -math.inf, 3]],
            [("/instances/0/0", "not_finite"), ("/instances/0/1", "not_finite")],
        ),
        ([[1, 10**400, 3]], [("/instances/0/1", "not_finite")]),
        (
            [[10**400, -(10**400), 3]],
            [("/instances/0/0", "not_finite"), ("/instances/0/1", "not_finite")],
        ),
        (
            [{}],
            [
                ("/instances/0/mean radius", "missing_feature"),
                ("/instances/0/a~1b~0c", "missing_feature"),
                ("/instances/0/z", "missing_feature"),
            ],
        ),
        ([{"mean radius": 1, "a/b~c": "x", "z": 1}], [("/instances/0/a~1b~0c", "type")]),
        (
            [{"mean radius": 1, "a/b~c": 1, "z": 1, "<script>": 1}],
            [("/instances/0", "unknown_feature")],
        ),
        (
            [{"mean radius": 1, "a/b~c": 1, "q": 1}],
            [("/instances/0", "unknown_feature"), ("/instances/0/z", "missing_feature")],
        ),
    ],
)
def test_every_fault_has_its_path_and_rule(instances, expected):
    assert faults(PLAIN, instances) == expected


def test_the_largest_numbers_are_still_numbers():
    """Their sum is no longer finite, each of them is."""
    assert RowReader(PLAIN).read([[1e308, 1e308, 1e308]]).tolist() == [[1e308] * 3]


def test_at_most_twenty_faults_are_told():
    assert len(faults(PLAIN, [["a", "b", "c"]] * 1000)) == 20


def test_no_fault_ever_holds_a_value_or_a_name_of_the_clients():
    secret = "hunter2"
    emitted = faults(PLAIN, [[secret, 1, 1], {secret: 1}, secret, {"z": secret}])

    assert secret not in json.dumps(emitted)


@given(json_values, st.integers(0, 2), st.booleans())
def test_any_json_in_any_cell_is_faults_or_a_finite_array(value, place, named):
    cells = [1.0, 2.0, 3.0]
    cells[place] = value
    instance = dict(zip(NAMES, cells, strict=True)) if named else cells
    try:
        rows = RowReader(PLAIN).read([instance])
    except RowsRefused as refused:
        assert refused.faults
    else:
        assert rows.dtype == np.float64
        assert np.isfinite(rows).all()


@given(json_values)
def test_any_json_as_instances_is_faults_or_rows(value):
    for about in (PLAIN, MIXED):
        try:
            RowReader(about).read(value)
        except RowsRefused as refused:
            assert 1 <= len(refused.faults) <= 20


def test_mixed_columns_are_read_into_an_object_array():
    rows = RowReader(MIXED).read([[None, 3, True, "red", "hello"], [1.5, 2.0, False, "blue", None]])

    assert rows.dtype == object
    assert rows[1].tolist()[:4] == [1.5, 2.0, False, "blue"]
    assert math.isnan(rows[0, 0])
    assert math.isnan(rows[1, 4])


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        (0, "1", "type"),
        (0, True, "type"),
        (1, 2.5, "type"),
        (1, None, "missing_value"),
        (1, True, "type"),
        (2, 1, "type"),
        (2, "true", "type"),
        (2, None, "missing_value"),
        (3, "green", "category"),
        (3, 1, "type"),
        (3, None, "missing_value"),
        (4, 5, "type"),
        (4, ["a"], "type"),
    ],
)
def test_each_kind_of_column_has_its_rule(column, value, rule):
    cells = [1.0, 2, True, "red", "text"]
    cells[column] = value

    assert faults(MIXED, [cells]) == [(f"/instances/0/{column}", rule)]


def test_a_whole_column_refuses_a_fraction_on_the_fast_path_too():
    counts = card(Feature("n", "integer"), Feature("x"))

    assert RowReader(counts).read([[3, 1.5], [4.0, 2]]).tolist() == [[3, 1.5], [4, 2]]
    assert faults(counts, [[3, 1.5], [4.5, 2]]) == [("/instances/1/0", "type")]


def test_null_becomes_nan_only_where_it_may():
    some = card(Feature("a", missing="allow"), Feature("b"))
    rows = RowReader(some).read([[None, 1], [2, 3]])

    assert rows.dtype == np.float64
    assert math.isnan(rows[0, 0])
    assert faults(some, [[None, None]]) == [("/instances/0/1", "missing_value")]


def test_a_frame_has_the_cards_columns_and_kinds():
    pandas = pytest.importorskip("pandas")
    words = str(pandas.Series(["a"]).dtype)
    rows = RowReader(card(*MIXED.features, container="frame")).read(
        [{"note": "n", "colour": "red", "member": True, "visits": 2, "age": None}]
    )

    assert list(rows.columns) == ["age", "visits", "member", "colour", "note"]
    assert [str(kind) for kind in rows.dtypes] == ["float64", "int64", "bool", words, words]
