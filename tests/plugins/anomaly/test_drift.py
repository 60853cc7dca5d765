"""The index is near zero for rows like the card's, and grows with the distance from them."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.anomaly.drift import (
    MIN_ROWS,
    SHARES,
    Bins,
    DriftCounters,
    DriftStore,
    population_stability,
)
from plugins.anomaly.feature_bins import LEVELS, bins_of
from secureml import Feature, Section, Store
from secureml.testing import Clock
from tests.made_card import card

TABLE = np.random.default_rng(1).normal(size=(5000, 3))
EDGES = tuple(tuple(np.quantile(TABLE[:, column], LEVELS)) for column in (0, 2))
BARE = card(Feature("a"), Feature("word", "text"), Feature("b"))
SECTION = Section(
    private={"columns": [0, 2], "edges": [list(map(float, edges)) for edges in EDGES]}
)
CARD = replace(BARE, sections={"anomaly": SECTION})


def counted(*batches):
    bins = Bins(CARD.features, bins_of(CARD))
    counts = bins.empty()
    for rows in batches:
        bins.add(counts, rows)
    return bins.names, counts


def index(rows):
    names, counts = counted(*np.array_split(rows, 10))
    return {each.feature: each.psi for each in population_stability(names, counts)}


def test_the_shares_of_all_bins_are_one():
    assert SHARES.sum() == pytest.approx(1)


def test_rows_like_those_of_the_card_have_not_moved():
    rows = np.random.default_rng(2).normal(size=(2000, 3))
    assert all(psi < 0.02 for psi in index(rows).values())


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda column: column + 0.5, 0.1),
        (lambda column: column + 2, 1.0),
        (lambda column: column * 0.2, 0.5),
        (lambda column: np.full_like(column, 9.0), 2.0),
    ],
)
def test_a_feature_that_moved_is_named_and_its_neighbour_is_not(change, least):
    rows = np.random.default_rng(2).normal(size=(2000, 3))
    rows[:, 0] = change(rows[:, 0])
    found = index(rows)
    assert next(iter(found)) == "a"
    assert found["a"] > least
    assert found["b"] < 0.02


def test_of_a_few_rows_nothing_is_said():
    rows = np.random.default_rng(2).normal(size=(MIN_ROWS - 1, 3))
    assert population_stability(*counted(rows)) == []


@given(st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_rows_count_the_same_one_by_one_and_in_batches(sizes):
    rows = np.random.default_rng(3).normal(size=(sum(sizes), 3))
    rows[::7, 0] = np.nan
    one_by_one = counted(*(rows[number : number + 1] for number in range(len(rows))))[1]
    batches = counted(*np.split(rows, np.cumsum(sizes)[:-1]))[1]
    assert (one_by_one == batches).all()
    assert one_by_one[0].sum() == np.isfinite(rows[:, 0]).sum()


def test_a_table_with_names_counts_like_one_without():
    rows = np.random.default_rng(4).normal(size=(50, 3))
    frame = pd.DataFrame(rows, columns=["a", "word", "b"]).astype({"word": str})
    assert (counted(frame)[1] == counted(rows)[1]).all()


def test_one_request_of_many_rows_costs_a_bounded_time():
    assert counted(np.zeros((5000, 3)))[1].sum(axis=1).tolist() == [1000, 1000]


def test_a_card_without_a_table_has_nothing_to_compare():
    counters = DriftCounters()
    counters.count("m", "1", BARE, TABLE[:5])
    assert counters.take() == {}


def test_what_could_not_be_written_is_kept():
    counters = DriftCounters()
    counters.count("m", "1", CARD, TABLE[:10])
    taken = counters.take()
    counters.count("m", "1", CARD, TABLE[:5])
    counters.put_back(taken)
    assert counters.take()["m", "1"].sum(axis=1).tolist() == [15, 15]


TEN = np.array([[4, 6], [10, 0]])  # ten rows of two features


@pytest.fixture
def workers(tmp_path):
    clock = Clock(3600.0 * 1000)
    url = f"sqlite:///{tmp_path / 's.db'}"
    with closing(Store(url)) as one, closing(Store(url)) as other:
        yield clock, [DriftStore(store, clock, 86400.0) for store in (one, other)]


def test_what_workers_counted_adds_up_over_the_window_and_ends_with_it(workers):
    clock, (one, other) = workers
    for each in (one, other, one):
        each.add({("m", "1"): TEN})
    clock.advance(3600)
    other.add({("m", "1"): TEN})
    assert one.total("m", "1").sum(axis=1).tolist() == [40, 40]
    assert one.total("m", "2") is None
    clock.advance(86400)
    one.add({("m", "2"): TEN})
    assert one.total("m", "1").sum(axis=1).tolist() == [10, 10]


def test_no_counts_write_nothing(workers):
    _, (one, _) = workers
    one.add({})
    assert one.total("m", "1") is None


@pytest.mark.parametrize("seed", range(5))
def test_the_index_is_that_of_the_formula(seed):
    counts = np.random.default_rng(seed).integers(0, 200, (1, len(SHARES))) + 30
    actual = (counts[0] + 0.5) / (counts[0] + 0.5).sum()
    expected = sum((a - e) * math.log(a / e) for a, e in zip(actual, SHARES, strict=True))

    [found] = population_stability(["a"], counts)
    assert (found.feature, found.rows) == ("a", counts.sum())
    assert found.psi == pytest.approx(expected)
    assert found.psi >= 0


def test_a_value_on_an_edge_is_in_the_bin_below_it():
    rows = np.zeros((1, 3))
    rows[0, 0] = EDGES[0][3]
    _, counts = counted(rows)
    assert counts[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_exactly_enough_rows_have_an_index():
    rows = np.random.default_rng(2).normal(size=(MIN_ROWS, 3))
    assert len(population_stability(*counted(rows))) == 2
