from __future__ import annotations

import math

import numpy as np
import pytest

from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.cusum import advance, increments, reasons, score
from plugins.theft_guard.detectors import ATTACKER, BINS, CUSTOMER, DETECTORS

CAP = 60.0


def fresh():
    return ClientState(np.zeros(1, RECORD))


def test_shares_are_shares():
    for detector in DETECTORS:
        assert sum(ATTACKER[detector]) == pytest.approx(1)
        if detector != "prada":
            assert sum(CUSTOMER[detector]) == pytest.approx(1)


@pytest.mark.parametrize("detector", [t for t in DETECTORS if t != "prada"])
def test_no_history_makes_a_customers_row_evidence_on_average(detector):
    """The promise behind the false-alarm rate: e to a step is one at the most, on average."""
    chance, index = np.random.default_rng(0), DETECTORS.index(detector)
    for _ in range(50):
        decayed = np.zeros((len(DETECTORS), BINS), np.float32)
        decayed[index, : len(CUSTOMER[detector])] = chance.exponential(20, len(CUSTOMER[detector]))
        table = increments(decayed)[index]
        mean = sum(u * math.exp(s) for u, s in zip(CUSTOMER[detector], table, strict=False))
        assert mean <= 1 + 1e-6


def test_no_history_makes_a_customers_spacing_evidence_on_average():
    chance, index = np.random.default_rng(0), DETECTORS.index("prada")
    for _ in range(50):
        decayed = np.zeros((len(DETECTORS), BINS), np.float32)
        decayed[index] = chance.exponential(20, BINS)
        table = increments(decayed)[index][:BINS]
        # The worst customer: as much as is allowed in the best-paid bins.
        shares, left = np.zeros(BINS), 1.0
        for bin_ in np.argsort(-table):
            shares[bin_] = min(0.28, left)
            left -= shares[bin_]
        assert float(shares @ np.exp(table)) <= 1 + 1e-6


def test_a_batch_ends_where_single_rows_end():
    chance = np.random.default_rng(3)
    found = chance.integers(-1, 2, (8, len(DETECTORS))).astype(np.int8)
    one, many = fresh(), fresh()
    advance(one, found[:1], CAP)
    advance(many, found[:1], CAP)
    for row in found[1:8]:
        advance(one, row[None], CAP)
    advance(many, found[1:8], CAP)

    assert np.allclose(one.record["sums"], many.record["sums"])
    assert np.array_equal(one.record["counts"], many.record["counts"])


def test_sums_neither_fall_below_zero_nor_rise_above_the_cap():
    state = fresh()
    advance(state, np.zeros((50, len(DETECTORS)), np.int8), CAP)
    assert (state.record["sums"] >= 0).all()
    for _ in range(100):
        advance(state, np.full((10, len(DETECTORS)), 1, np.int8), CAP)
    assert (state.record["sums"] <= CAP).all()
    assert state.record["sums"][DETECTORS.index("label_flip")] == CAP


def test_a_test_that_says_nothing_adds_nothing():
    state = fresh()
    advance(state, np.full((5, len(DETECTORS)), -1, np.int8), CAP)

    assert not state.record["sums"].any()
    assert not state.record["counts"][:, :BINS].any()


def test_the_score_is_the_mean_of_the_tests_and_names_the_strongest():
    sums = np.zeros(len(DETECTORS))
    sums[3] = 20.0

    assert score(sums) == pytest.approx(20 - math.log(len(DETECTORS)), abs=1e-6)
    assert reasons(sums, 4.0) == [DETECTORS[3]]


def page(state, found):
    """Page's rule in plain NumPy: the sum of increments, never below zero or above the cap."""
    sums = state.record["sums"].copy()
    table = increments(state.record["decayed"][:, :BINS])
    for row in found:
        sums = np.clip(sums + table[np.arange(len(DETECTORS)), row], 0.0, CAP)
    return sums


@pytest.mark.parametrize("seed", range(5))
def test_eight_rows_follow_pages_rule(seed):
    """As many as there are between two estimates of what the subject is like."""
    found = np.random.default_rng(seed).integers(-1, 2, (8, len(DETECTORS))).astype(np.int8)
    state = fresh()
    state.record["decayed"] = np.random.default_rng(seed).exponential(5, (len(DETECTORS), BINS + 1))
    expected = page(state, found)
    advance(state, found, CAP)

    assert state.record["sums"] == pytest.approx(expected, rel=1e-5)


def test_counts_decay_by_two_percent_a_row():
    state = fresh()
    advance(state, np.zeros((1, len(DETECTORS)), np.int8), CAP)
    advance(state, np.ones((10, len(DETECTORS)), np.int8), CAP)

    assert state.record["decayed"][0, 0] == pytest.approx(0.98**10, rel=1e-5)
    assert state.record["decayed"][0, 1] == pytest.approx(sum(0.98**n for n in range(10)), rel=1e-5)
    assert state.record["counts"][0, :2].tolist() == [1, 10]


def test_increments_of_a_new_subject_are_the_ratio_of_the_tables():
    table = increments(np.zeros((len(DETECTORS), BINS)))
    for index, name in enumerate(DETECTORS):
        last = len(CUSTOMER[name]) - 1
        own = max(ATTACKER[name][last], CUSTOMER[name][last]) if name != "prada" else 0.1
        assert table[index, BINS] == 0
        if name == "label_flip":
            ratio = (0.5 * 0.30 + 0.5 * own) / 0.02
            assert table[index, last] == pytest.approx(math.log(ratio), rel=1e-6)


def test_the_score_lies_between_the_highest_sum_and_that_less_a_logarithm():
    rng = np.random.default_rng(0)
    for _ in range(200):
        sums = rng.exponential(10, len(DETECTORS))
        expected = np.log(np.mean(np.exp(sums)))
        assert score(sums) == pytest.approx(expected)
        assert sums.max() - math.log(len(DETECTORS)) <= score(sums) <= sums.max()


def test_customers_pass_a_threshold_no_more_often_than_was_promised():
    """At most one passage in e**h rows on average; here at h = 4, that is 54 rows."""
    rng, passages, rows = np.random.default_rng(1), 0, 4000
    index = DETECTORS.index("nearest")
    state = fresh()
    for bin_ in rng.choice(3, size=rows, p=CUSTOMER["nearest"]):
        found = np.full((1, len(DETECTORS)), -1, np.int8)
        found[0, index] = bin_
        advance(state, found, CAP)
        if state.record["sums"][index] >= 4:
            passages, state.record["sums"] = passages + 1, 0.0
    assert passages <= rows / math.exp(4)


def test_an_attacker_passes_the_default_threshold_within_forty_rows():
    rng, index = np.random.default_rng(2), DETECTORS.index("nearest")
    state = fresh()
    for bin_ in rng.choice(3, size=40, p=ATTACKER["nearest"]):
        found = np.full((1, len(DETECTORS)), -1, np.int8)
        found[0, index] = bin_
        advance(state, found, CAP)
    assert score(state.record["sums"]) >= 12


def test_reasons_are_ordered_by_their_sums():
    sums = np.arange(len(DETECTORS), dtype=float)
    assert reasons(sums, 8.0) == [DETECTORS[9], DETECTORS[8]]
    assert reasons(sums, 99.0) == []
