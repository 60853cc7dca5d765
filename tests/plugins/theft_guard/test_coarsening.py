from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.theft_guard.coarsening import coarsen, margins


def test_a_margin_is_the_lead_of_the_best_over_the_next():
    assert margins([[0.7, 0.1, 0.2], [0.5, 0.5, 0.0]]).tolist() == pytest.approx([0.5, 0.0])
    assert margins(None) is None
    assert margins([[1.0]]) is None


def test_coarser_is_one_decimal_or_nothing():
    assert coarsen([[0.123, 0.877]], "rounded") == [[0.1, 0.9]]
    assert coarsen([[0.123, 0.877]], "labels") is None
    assert coarsen(None, "rounded") is None


@pytest.mark.parametrize("rows", [1, 5])
def test_margins_are_the_two_largest_of_a_sorted_row(rows):
    shares = np.random.default_rng(rows).dirichlet(np.ones(4), rows)
    expected = [row[-1] - row[-2] for row in np.sort(shares, axis=1)]
    assert margins(shares.tolist()).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("withheld", [None, float("nan")])
def test_a_probability_that_was_withheld_counts_as_zero(withheld):
    assert margins([[0.4, withheld, 0.1]]).tolist() == pytest.approx([0.3])
    assert margins([[0.4, withheld], [0.9, 0.1]]).tolist() == pytest.approx([0.4, 0.8])


def test_a_withheld_probability_stays_withheld_when_it_is_coarsened():
    assert coarsen([[0.44, None]], "rounded") == [[0.4, None]]


PROBABILITY = st.one_of(st.none(), st.floats(0, 1))
TABLES = st.integers(2, 6).flatmap(
    lambda classes: st.lists(
        st.lists(PROBABILITY, min_size=classes, max_size=classes), min_size=1, max_size=8
    )
)


@settings(max_examples=60)
@given(TABLES)
def test_margins_of_a_batch_are_those_of_its_rows_and_of_sorted_numbers(table):
    expected = []
    for row in table:
        *_, second, first = sorted(each or 0.0 for each in row)
        expected.append(first - second)

    assert margins(table).tolist() == expected
    assert [float(margins([row])[0]) for row in table] == expected


@settings(max_examples=40)
@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_classes_is_nothing_to_a_margin(table, chance):
    order = list(range(len(table[0])))
    chance.shuffle(order)
    assert margins([[row[place] for place in order] for row in table]).tolist() == (
        margins(table).tolist()
    )


@settings(max_examples=60)
@given(TABLES)
def test_a_coarse_answer_has_eleven_values_and_is_no_further_off_than_half_a_tenth(table):
    found = coarsen(table, "rounded")
    for row, coarse in zip(table, found, strict=True):
        for exact, rough in zip(row, coarse, strict=True):
            assert (rough is None) == (exact is None)
            if exact is not None:
                assert rough in {number / 10 for number in range(11)}
                assert abs(rough - exact) <= 0.05 + 1e-12
    assert coarsen(found, "rounded") == found


def test_a_row_of_nothing_but_withheld_probabilities_has_no_lead():
    assert margins([[None, None]]).tolist() == [0.0]
    assert margins([[None, None], [float("nan"), None]]).tolist() == [0.0, 0.0]


def test_equal_answers_of_many_classes_have_no_lead():
    assert margins([[0.1] * 10, [0.1] * 10]).tolist() == [0.0, 0.0]
