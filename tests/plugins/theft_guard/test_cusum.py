from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

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


SHARES = np.array([[*CUSTOMER[name], *[0.0] * (BINS - len(CUSTOMER[name]))] for name in DETECTORS])
BIN = {name: st.integers(-1, len(CUSTOMER[name]) - 1) for name in DETECTORS}
ROW = st.tuples(*BIN.values()).map(list)
NUMBERS = st.floats(0, 80)


@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=40), st.lists(st.integers(1, 15), max_size=8))
def test_rows_end_at_the_same_sums_however_they_are_sent(rows, sizes):
    """One by one or in any batches, across every estimate of what the subject is like."""
    one, parts = fresh(), fresh()
    for row in rows:
        advance(one, [row], CAP)
    cuts = np.cumsum(sizes, dtype=int) if sizes else []
    for part in np.split(np.array(rows), [cut for cut in cuts if cut < len(rows)]):
        advance(parts, part, CAP)

    assert parts.record["sums"] == pytest.approx(one.record["sums"], abs=1e-4)
    assert parts.record["decayed"] == pytest.approx(one.record["decayed"], rel=1e-4, abs=1e-6)
    assert np.array_equal(parts.record["counts"], one.record["counts"])
    assert int(parts.record["judged"]) == int(one.record["judged"]) == len(rows)


@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=8))
def test_a_sum_is_how_far_the_log_likelihood_lies_above_its_lowest_point(rows):
    """Page's own form: S = L - min L, where L is the log likelihood ratio of all rows so far."""
    state, table = fresh(), increments(np.zeros((len(DETECTORS), BINS)))
    steps = np.array([table[np.arange(len(DETECTORS)), row] for row in rows])
    walk = np.vstack([np.zeros(len(DETECTORS)), np.cumsum(steps, axis=0)])
    advance(state, np.array(rows), math.inf)

    assert state.record["sums"] == pytest.approx(walk[-1] - walk.min(axis=0), abs=1e-9)


@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from(range(len(DETECTORS))))
def test_what_one_detector_sees_changes_no_other_sum(rows, detector):
    whole, alone = fresh(), fresh()
    advance(whole, np.array(rows), CAP)
    blind = np.full_like(np.array(rows), -1)
    blind[:, detector] = np.array(rows)[:, detector]
    advance(alone, blind, CAP)

    assert alone.record["sums"][detector] == pytest.approx(whole.record["sums"][detector])
    assert alone.record["sums"].sum() == pytest.approx(alone.record["sums"][detector])


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.floats(0, 1e6), min_size=BINS, max_size=BINS), min_size=1, max_size=3),
)
def test_whatever_a_subject_did_before_a_customers_row_is_no_evidence_on_average(histories):
    """The mean of e to an increment over a customer's shares is one at most (an e-value)."""
    decayed = np.zeros((len(histories), len(DETECTORS), BINS))
    for number, history in enumerate(histories):
        decayed[number] = np.where(SHARES > 0, history, 0.0)
    table = increments(decayed)[..., :BINS]
    for index, name in enumerate(DETECTORS):
        if name != "prada":
            assert (np.exp(table[:, index]) @ SHARES[index] <= 1 + 1e-9).all()


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1e4), min_size=BINS, max_size=BINS))
def test_increments_of_many_subjects_are_those_of_each(history):
    decayed = np.where(SHARES > 0, history, 0.0)
    both = increments(np.stack([decayed, np.zeros_like(decayed)]))

    assert np.array_equal(both[0], increments(decayed))
    assert np.array_equal(both[1], increments(np.zeros_like(decayed)))
    assert np.isfinite(both).all()


def test_the_increments_of_nearest_for_a_new_subject_worked_out_by_hand():
    """Shares of its own are the attacker's; the guess is the mean of both, so they again."""
    found = increments(np.zeros((len(DETECTORS), BINS)))[DETECTORS.index("nearest")]
    expected = [math.log(0.20 / 0.80), math.log(0.30 / 0.15), math.log(0.50 / 0.05)]
    assert found[:3] == pytest.approx(expected)
    assert not found[3:].any()


def test_the_increments_of_nearest_after_a_hundred_usual_rows_worked_out_by_hand():
    """8 rows of prior: (1.6 + 100) / 108 and so on, but no less than a customer may send."""
    decayed = np.zeros((len(DETECTORS), BINS))
    decayed[DETECTORS.index("nearest"), 0] = 100.0
    found = increments(decayed)[DETECTORS.index("nearest")]
    own = [1 - 0.15 - 0.05, max(2.4 / 108, 0.15), max(4 / 108, 0.05)]
    guess = [0.5 * a + 0.5 * o for a, o in zip((0.2, 0.3, 0.5), own, strict=True)]
    expected = [math.log(g / c) for g, c in zip(guess, (0.80, 0.15, 0.05), strict=True)]
    assert found[:3] == pytest.approx(expected)


@settings(max_examples=40)
@given(st.lists(NUMBERS, min_size=len(DETECTORS), max_size=len(DETECTORS)))
def test_the_score_is_scipys_logsumexp_less_the_logarithm_of_their_number(sums):
    expected = logsumexp(sums) - math.log(len(DETECTORS))
    assert score(np.array(sums)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(st.permutations(range(len(DETECTORS))), st.floats(0, 1e5))
def test_the_score_knows_no_order_and_moves_with_all_sums_alike(order, more):
    """Also far beyond what e to a sum could hold as a number."""
    sums = np.linspace(0.0, 30.0, len(DETECTORS))
    assert score(sums[order]) == pytest.approx(score(sums))
    assert score(sums + more) == pytest.approx(score(sums) + more)


@pytest.mark.parametrize("cap", [0.5, 3.0, 60.0])
def test_a_sum_that_reaches_the_cap_stays_there_and_leaves_it_with_the_first_usual_row(cap):
    state, index = fresh(), DETECTORS.index("nearest")
    odd, usual = np.full((1, len(DETECTORS)), -1), np.full((1, len(DETECTORS)), -1)
    odd[0, index], usual[0, index] = 2, 0
    for _ in range(60):
        advance(state, odd, cap)
        assert state.record["sums"][index] <= cap
    assert state.record["sums"][index] == cap
    advance(state, usual, cap)
    assert state.record["sums"][index] < cap


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("field", ["sums", "decayed", "increments"])
@pytest.mark.parametrize("value", [math.nan, -1e30])
def test_a_damaged_record_that_holds_no_number_is_no_evidence(rows, field, value):
    """Neither flagged nor held for what a disk did."""
    state = fresh()
    state.record[field] = value
    with np.errstate(all="ignore"):
        advance(state, np.zeros((rows, len(DETECTORS)), int), CAP)

    # What is left is what nine rows in one decile say, damaged or not.
    assert state.record["sums"].max() < 0.2


def test_counts_begin_again_at_two_to_the_thirty_second():
    single, batch = fresh(), fresh()
    for state in (single, batch):
        state.record["counts"][0, 0] = 2**32 - 1
    advance(single, np.zeros((1, len(DETECTORS)), int), CAP)
    advance(batch, np.zeros((2, len(DETECTORS)), int), CAP)

    assert (int(single.record["counts"][0, 0]), int(batch.record["counts"][0, 0])) == (0, 1)


@pytest.mark.parametrize(("at_least", "named"), [(5.0, 1), (5.0001, 0), (4.9999, 1), (0.0, 10)])
def test_a_reason_is_named_from_its_threshold_on(at_least, named):
    sums = np.zeros(len(DETECTORS))
    sums[4] = 5.0
    assert len(reasons(sums, at_least)) == named


def test_reasons_of_equal_sums_keep_the_order_of_the_detectors_first():
    assert reasons(np.full(len(DETECTORS), 7.0), 7.0)[0] == DETECTORS[0]
