from __future__ import annotations

import numpy as np
import pytest

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
