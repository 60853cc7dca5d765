from __future__ import annotations

import math

import numpy as np
import pytest

from plugins.theft_guard.memory import BINS, SLOT, Memory
from plugins.theft_guard.names import TESTS
from plugins.theft_guard.sequence import ATTACK, USUAL, advance, reasons, score, steps

CAP = 60.0


def fresh():
    return Memory(np.zeros(1, SLOT))


def test_shares_are_shares():
    for test in TESTS:
        assert sum(ATTACK[test]) == pytest.approx(1)
        if test != "spacing":
            assert sum(USUAL[test]) == pytest.approx(1)


@pytest.mark.parametrize("test", [t for t in TESTS if t != "spacing"])
def test_no_history_makes_a_customers_row_evidence_on_average(test):
    """The promise behind the false-alarm rate: e to a step is one at the most, on average."""
    chance, place = np.random.default_rng(0), TESTS.index(test)
    for _ in range(50):
        lately = np.zeros((len(TESTS), BINS), np.float32)
        lately[place, : len(USUAL[test])] = chance.exponential(20, len(USUAL[test]))
        table = steps(lately)[place]
        mean = sum(u * math.exp(s) for u, s in zip(USUAL[test], table, strict=False))
        assert mean <= 1 + 1e-6


def test_no_history_makes_a_customers_spacing_evidence_on_average():
    chance, place = np.random.default_rng(0), TESTS.index("spacing")
    for _ in range(50):
        lately = np.zeros((len(TESTS), BINS), np.float32)
        lately[place] = chance.exponential(20, BINS)
        table = steps(lately)[place][:BINS]
        # The worst customer: as much as is allowed in the best-paid bins.
        shares, left = np.zeros(BINS), 1.0
        for bin_ in np.argsort(-table):
            shares[bin_] = min(0.28, left)
            left -= shares[bin_]
        assert float(shares @ np.exp(table)) <= 1 + 1e-6


def test_a_batch_ends_where_single_rows_end():
    chance = np.random.default_rng(3)
    found = chance.integers(-1, 2, (8, len(TESTS))).astype(np.int8)
    one, many = fresh(), fresh()
    advance(one, found[:1], CAP)
    advance(many, found[:1], CAP)
    for row in found[1:8]:
        advance(one, row[None], CAP)
    advance(many, found[1:8], CAP)

    assert np.allclose(one.slot["sums"], many.slot["sums"])
    assert np.array_equal(one.slot["counts"], many.slot["counts"])


def test_sums_neither_fall_below_zero_nor_rise_above_the_cap():
    slot = fresh()
    advance(slot, np.zeros((50, len(TESTS)), np.int8), CAP)
    assert (slot.slot["sums"] >= 0).all()
    for _ in range(100):
        advance(slot, np.full((10, len(TESTS)), 1, np.int8), CAP)
    assert (slot.slot["sums"] <= CAP).all()
    assert slot.slot["sums"][TESTS.index("chain")] == CAP


def test_a_test_that_says_nothing_adds_nothing():
    slot = fresh()
    advance(slot, np.full((5, len(TESTS)), -1, np.int8), CAP)

    assert not slot.slot["sums"].any()
    assert not slot.slot["counts"][:, :BINS].any()


def test_the_score_is_the_mean_of_the_tests_and_names_the_strongest():
    sums = np.zeros(len(TESTS))
    sums[3] = 20.0

    assert score(sums) == pytest.approx(20 - math.log(len(TESTS)), abs=1e-6)
    assert reasons(sums, 4.0) == [TESTS[3]]
