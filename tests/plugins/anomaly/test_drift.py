"""The index is nought for the world of the card, and grows with the distance from it."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.anomaly.drift import LEAST, LEVELS, SHARES, Bins, Tally, moved

Card = namedtuple("Card", "features reference")
Reference = namedtuple("Reference", "numbers bins")
Feature = namedtuple("Feature", "name")

TABLE = np.random.default_rng(1).normal(size=(5000, 3))
EDGES = tuple(tuple(np.quantile(TABLE[:, column], LEVELS)) for column in (0, 2))
CARD = Card([Feature("a"), Feature("word"), Feature("b")], Reference((0, 2), EDGES))


def counted(*batches):
    bins = Bins(CARD, CARD.reference)
    counts = bins.empty()
    for rows in batches:
        bins.add(counts, rows)
    return bins.names, counts


def index(rows):
    return {each.feature: each.psi for each in moved(*counted(*np.array_split(rows, 10)))}


def test_levels_here_are_those_that_cards_are_made_with():
    from secureml.models.reference_profile import BINS

    assert LEVELS == BINS
    assert SHARES.sum() == pytest.approx(1)


def test_the_world_of_the_card_has_not_moved():
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
    rows = np.random.default_rng(2).normal(size=(LEAST - 1, 3))
    assert moved(*counted(rows)) == []


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
    tally = Tally()
    tally.note("m", "1", Card(CARD.features, None), TABLE[:5])
    assert tally.take() == {}


def test_what_could_not_be_written_is_kept():
    tally = Tally()
    tally.note("m", "1", CARD, TABLE[:10])
    taken = tally.take()
    tally.note("m", "1", CARD, TABLE[:5])
    tally.put_back(taken)
    assert tally.take()["m", "1"].sum(axis=1).tolist() == [15, 15]
