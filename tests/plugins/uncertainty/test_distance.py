"""Rows like those it was learned from are near, and every row far from them is far."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import mahalanobis

from plugins.uncertainty.distance import (
    MOST_COLUMNS,
    learn_distance,
    numbers_of,
    read_distance,
)


def drawn(seed=0, rows=500):
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal([1, 20, 300], [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 400]], rows)


def test_of_one_group_it_is_the_mahalanobis_distance():
    table = drawn()
    found = learn_distance(table, [0, 1, 2], [0] * len(table))
    inverse = np.linalg.inv(np.cov(table, rowvar=False, bias=True))
    theirs = [mahalanobis(row, table.mean(axis=0), inverse) for row in table[:50]]

    assert found(table[:50]) == pytest.approx(theirs, rel=1e-3)


def test_a_row_near_any_group_is_near_and_one_between_them_is_not():
    aside = np.array([20, 0, 0])
    left, right = drawn() - aside, drawn(1) + aside
    table = np.concatenate([left, right])
    found = learn_distance(table, [0, 1, 2], ["no"] * 500 + ["yes"] * 500)
    usual = np.quantile(found(table), 0.99)

    assert (found(drawn(2) - aside) < 1.5 * usual).mean() > 0.99
    assert found(drawn(2)).min() > 2 * usual


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("size", [15, 1e6, 1e308])
def test_one_value_far_out_is_far(column, sign, size):
    table = drawn()
    found = learn_distance(table, [0, 1, 2], [0] * len(table))
    row = table.mean(axis=0)
    row[column] += sign * size * (1 if size > 1e300 else table[:, column].std())

    assert found(row[None])[0] > 1.5 * found(table).max()


def test_two_usual_values_that_do_not_go_together_are_far():
    table = drawn()
    found = learn_distance(table, [0, 1, 2], [0] * len(table))
    row = table.mean(axis=0) + np.array([2.5, -2.5, 0])

    assert (table.min(axis=0) < row).all()
    assert (row < table.max(axis=0)).all()
    assert found(row[None])[0] > found(table).max()


def test_a_value_other_than_the_only_one_of_a_column_is_far():
    table = np.column_stack([drawn(), np.full(500, 7.0)])
    found = learn_distance(table, [0, 1, 2, 3], [0] * 500)
    odd = table[:1] + np.array([0, 0, 0, 3.0])

    assert found(odd)[0] > found(table).max()


def test_a_missing_value_counts_as_the_centre():
    table = drawn()
    found = learn_distance(table, [0, 1, 2], [0] * len(table))
    row = table.mean(axis=0)[None]
    row[0, 2] = math.nan

    assert found(row)[0] == pytest.approx(0, abs=1e-3)


def test_a_frame_and_an_array_of_objects_are_measured_alike():
    table = drawn()
    frame = pd.DataFrame({"word": ["x"] * 500, "a": table[:, 0], "b": table[:, 1]})
    objects = frame.to_numpy(dtype=object)
    found = learn_distance(frame, [1, 2], [0] * 500)

    assert found(frame).tolist() == found(objects).tolist()
    assert numbers_of(objects, [1]).dtype == np.float64


def test_a_wide_table_is_measured_column_by_column():
    table = np.random.default_rng(0).normal(size=(200, MOST_COLUMNS + 1))
    found = learn_distance(table, range(MOST_COLUMNS + 1), [0] * 200)

    assert found.whitening is None
    assert found(table + 20).min() > found(table).max()


def test_what_the_card_holds_measures_the_same_to_the_bit():
    table = drawn()
    found = learn_distance(table, [0, 1, 2], [0, 1] * 250)
    read = read_distance(json.loads(json.dumps(found.to_json())), 3)

    assert read(table).tolist() == found(table).tolist()


GOOD = learn_distance(drawn(), [0, 1, 2], [0] * 500).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"columns": [0, 1, 3]},
        {"columns": []},
        {"columns": [0, 1]},
        {"columns": [0, 1, True]},
        {"scale": [0.0, 1.0, 1.0]},
        {"centre": [math.nan, 1.0, 1.0]},
        {"means": []},
        {"means": [[1.0, 2.0]]},
        {"whitening": [[1.0] * 3] * 2},
        {"more": 1},
    ],
)
def test_attack_numbers_that_do_not_fit_are_refused(change):
    with pytest.raises(ValueError):
        read_distance({**GOOD, **change}, 3)
