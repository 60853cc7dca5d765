"""The index is near zero for rows like the card's, and grows with the distance from them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from plugins.anomaly.drift import (
    MIN_ROWS,
    SHARES,
    Bins,
    population_stability,
)
from plugins.anomaly.feature_bins import LEVELS, FeatureBins, bins_of
from secureml.kit.cards import Feature, Section
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
    return bins, counts


def index(rows):
    return {each.feature: each.psi for each in population_stability(*counted(*_tens(rows)))}


def _tens(rows):
    return np.array_split(rows, max(1, len(rows) // 500))


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


@settings(max_examples=25)
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


def bins_for(column, dtype="float"):
    """Return the bins of a card with one feature, its edges with six digits as a card has them."""
    edges = tuple(float(f"{edge:.6g}") for edge in np.quantile(column, LEVELS))
    return Bins([Feature("a", dtype)], FeatureBins((0,), (edges,)))


def one_feature(column, counts, dtype="float"):
    [found] = population_stability(bins_for(column, dtype), counts)
    return found


def moved(before, after, dtype="float"):
    """Return the index of a feature whose rows were like ``before`` and are like ``after``."""
    bins = bins_for(before, dtype)
    counts = bins.empty()
    for part in np.array_split(np.asarray(after, dtype=float)[:, None], len(after) // 500):
        bins.add(counts, part)
    [found] = population_stability(bins, counts)
    return found.psi


@pytest.mark.parametrize("seed", range(5))
def test_the_index_is_that_of_the_formula(seed):
    counts = np.random.default_rng(seed).integers(0, 200, (1, len(SHARES))) + 30
    actual = (counts[0] + 0.5) / (counts[0] + 0.5).sum()
    expected = sum((a - e) * math.log(a / e) for a, e in zip(actual, SHARES, strict=True))

    found = one_feature(TABLE[:, 0], counts)
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


RNG = np.random.default_rng(11)
DISCRETE = {
    "constant": (np.full(5000, 3.0), "float"),
    "constant with more digits than a card has": (np.full(5000, 3.141592653589793), "float"),
    "constant and negative": (np.full(5000, -3.141592653589793), "float"),
    "boolean": (1.0 * (RNG.random(5000) < 0.37), "boolean"),
    "rare": (1.0 * (RNG.random(5000) < 0.01), "boolean"),
    "counts": (1.0 * RNG.poisson(2, 5000), "integer"),
    "large counts": (1.0 * RNG.poisson(1e6, 5000), "integer"),
    "dice": (1.0 * RNG.integers(1, 7, 5000), "integer"),
    "half zeros": (np.where(RNG.random(5000) < 0.5, 0.0, RNG.exponential(1.0, 5000)), "float"),
}


@pytest.mark.parametrize(("column", "dtype"), DISCRETE.values(), ids=DISCRETE)
def test_the_very_rows_of_the_card_have_not_moved_whatever_they_are(column, dtype):
    """Edges of a column with few values are equal, and bins between them are always empty."""
    assert moved(column, column, dtype) < 0.02


@pytest.mark.parametrize(
    ("before", "after", "dtype"),
    [
        (np.full(5000, 3.0), np.full(1000, 3.1), "float"),
        (DISCRETE["boolean"][0], RNG.random(1000) < 0.9, "boolean"),
        (DISCRETE["boolean"][0], np.zeros(1000), "boolean"),
        (DISCRETE["counts"][0], RNG.poisson(4, 1000), "integer"),
        (DISCRETE["dice"][0], np.full(1000, 4.0), "integer"),
        (DISCRETE["half zeros"][0], RNG.exponential(1.0, 1000), "float"),
        (DISCRETE["large counts"][0], RNG.poisson(1e6 + 700, 1000), "integer"),
    ],
)
def test_a_column_of_few_values_that_moved_is_seen(before, after, dtype):
    assert moved(before, after, dtype) > 0.25


def test_whole_numbers_of_a_wide_range_are_judged_as_closely_as_others():
    """One value of a million holds next to nothing, so nothing is taken for granted."""
    before = RNG.normal(1e6, 1e4, 20_000)
    after = RNG.normal(1e6 + 5e3, 1e4, 5000)
    exact, whole = moved(before, after), moved(before.round(), after.round(), "integer")

    assert whole == pytest.approx(exact, rel=0.02)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3000), min_size=8, max_size=8).filter(lambda c: sum(c) >= MIN_ROWS))
def test_the_index_is_both_divergences_of_kullback_and_leibler(counts):
    """Against SciPy: the sum of D(a|e) and D(e|a), so never negative and 0 for equal shares."""
    actual = np.array(counts) + 0.5
    both = entropy(actual, SHARES) + entropy(SHARES, actual)
    found = one_feature(TABLE[:, 0], np.array([counts]))

    assert found.psi == pytest.approx(both, abs=1e-9)
    assert found.psi >= 0


@settings(max_examples=20)
@given(st.permutations(range(2)), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_that_of_columns_changes_an_index(order, chance):
    rows = TABLE[:400, [0, 2]] + [0.3, 0.0]
    mixed = rows.copy()
    chance.shuffle(lines := list(range(len(rows))))
    mixed = mixed[lines][:, order]
    edges = [EDGES[column] for column in order]
    features = [Feature("ab"[column]) for column in order]
    bins = Bins(features, FeatureBins((0, 1), tuple(edges)))
    counts = bins.empty()
    bins.add(counts, mixed)
    straight = Bins([Feature("a"), Feature("b")], FeatureBins((0, 1), EDGES))
    expected = straight.empty()
    straight.add(expected, rows)

    assert population_stability(bins, counts) == population_stability(straight, expected)


@pytest.mark.parametrize("times", [2, 3, 50])
def test_each_row_twice_is_an_index_that_differs_by_the_half_rows_alone(times):
    counts = counted(TABLE[:400])[1]
    once, often = (population_stability(counted()[0], counts * n)[0].psi for n in (1, times))
    assert often == pytest.approx(once, abs=0.01)


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0), (1e9, 0), (1.0, -40), (7.0, 300), (-1, 0)])
def test_the_unit_of_a_column_does_not_matter(scale, shift):
    before, after = TABLE[:2000, 0], TABLE[2000:3000, 2] * 1.3
    plain = moved(before, after)
    assert moved(before * scale + shift, after * scale + shift) == pytest.approx(plain, abs=0.02)


@pytest.mark.parametrize(("value", "place"), [(np.inf, 7), (-np.inf, 0), (1e308, 7), (-1e308, 0)])
def test_numbers_beyond_all_bounds_are_in_the_outer_bins(value, place):
    rows = np.full((2, 3), value)
    for counts in (counted(rows)[1], counted(rows[:1], rows[1:])[1]):
        assert counts[0, place] == 2


@settings(max_examples=50)
@given(
    st.lists(st.integers(-3, 9), min_size=20, max_size=60),
    st.lists(st.integers(-5, 12), min_size=500, max_size=500),
    st.sampled_from(["integer", "float"]),
)
def test_an_index_of_any_two_columns_is_a_number_and_none_is_negative(before, after, dtype):
    """Edges tied anywhere, bins that the card says are empty and are not."""
    assert 0 <= moved(np.array(before, dtype=float), after, dtype) < 40


def test_a_column_of_missing_values_has_no_index_and_its_neighbour_has():
    rows = TABLE[:500].copy()
    rows[:, 0] = np.nan
    assert [each.feature for each in population_stability(*counted(rows))] == ["b"]


def test_no_rows_are_no_counts():
    assert not counted(np.zeros((0, 3)))[1].any()


def test_a_feature_just_below_the_rows_it_needs_is_left_out():
    rows = TABLE[:MIN_ROWS].copy()
    rows[0, 0] = np.nan
    assert [each.feature for each in population_stability(*counted(rows))] == ["b"]


def test_bins_know_themselves_and_are_told_from_those_of_another_card():
    """A model that is sealed again under its old name and version has other bins, or the same."""
    same = Bins(CARD.features, bins_of(CARD))
    moved = FeatureBins((0, 2), tuple(tuple(edge + 1 for edge in edges) for edges in EDGES))
    renamed = card(Feature("z"), Feature("word", "text"), Feature("b"))

    assert Bins(CARD.features, bins_of(CARD)).identity == same.identity
    assert Bins(CARD.features, moved).identity != same.identity
    assert Bins(renamed.features, bins_of(CARD)).identity != same.identity
    assert same.shape == same.empty().shape == (2, len(SHARES))
