from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.theft_guard.client_state import BANDS, RECORD, RING, ClientState, coverage


@pytest.fixture
def state():
    return ClientState(np.zeros(1, RECORD))


def test_a_row_is_new_once(state):
    digests = [5 << 30, 7 << 30, 5 << 30]
    assert [state.is_new(digest) for digest in digests] == [True, True, False]
    assert not any(state.is_new(digest) for digest in digests)


def test_a_thousand_rows_are_known_again(state):
    digests = np.random.default_rng(0).integers(1, 2**63, 1000).tolist()
    for digest in digests:
        state.is_new(digest)
    assert np.mean([state.is_new(digest) for digest in digests]) < 0.05


def test_a_shared_print_is_met_and_a_first_one_is_not(state):
    one = [1001 * band for band in range(1, BANDS + 1)]
    other = [digest + 7 for digest in one]
    other[2] = one[2]
    assert not state.matches_fingerprint(one)
    assert state.matches_fingerprint(other)


def test_the_ring_keeps_the_last_rows_and_its_size(state):
    for number in range(RING + 10):
        row = np.full((1, 3), float(number))
        state.keep(row, np.array([number % 2]), np.array([[0, 3, 7]]))
    rows, labels = state.recent(3)

    assert rows.shape == (RING, 3)
    assert min(rows[:, 0].tolist()) == 10
    assert set(labels.tolist()) == {0, 1}
    assert coverage(state.record) == pytest.approx(3 / 24)


def test_a_place_that_cannot_be_is_still_within_the_ring(state):
    state.record["kept"] = 2**40 + 5
    state.keep(np.ones((4, 3)), np.zeros(4, int), np.zeros((4, 3), int))
    assert len(state.recent(3)[0]) == RING


def test_there_is_a_mean_only_after_enough_rows(state):
    assert state.centre(3) is None
    for _ in range(40):
        state.keep(np.full((1, 3), 2.0), np.array([0]), np.array([[0, 0, 0]]))
    assert np.allclose(state.centre(3), 2.0, atol=0.01)
    assert coverage(np.zeros(1, RECORD)[0]) == 0.0


def test_the_oldest_digest_of_a_full_set_is_forgotten(state):
    same_set = [(number << 30) | (5 << 20) for number in range(1, 6)]
    assert all(state.is_new(digest) for digest in same_set)
    assert not state.is_new(same_set[-1])
    assert state.is_new(same_set[0])


def test_a_mean_of_few_rows_is_their_plain_mean(state):
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    for row in rows:
        state.keep(row[None], np.array([0]), np.array([[0, 0, 0]]))
    assert state.centre(3) == pytest.approx(rows.mean(axis=0), abs=1e-5)


def test_a_mean_follows_rows_that_moved(state):
    for value in (0.0, 1.0):
        state.keep(np.full((120, 3), value), np.zeros(120, int), np.zeros((120, 3), int))
    assert state.centre(3) == pytest.approx(np.full(3, 1 - 0.98**120), abs=0.05)


def test_single_rows_and_a_batch_keep_the_same(state):
    other = ClientState(np.zeros(1, RECORD))
    rows = np.random.default_rng(0).normal(size=(20, 3))
    labels, bins = np.arange(20) % 3, np.random.default_rng(1).integers(0, 8, (20, 3))
    state.keep(rows, labels, bins)
    for number in range(20):
        piece = slice(number, number + 1)
        other.keep(rows[piece], labels[piece], bins[piece])

    assert np.array_equal(state.recent(3)[0], other.recent(3)[0])
    assert np.array_equal(state.recent(3)[1], other.recent(3)[1])
    assert coverage(state.record) == coverage(other.record)


def test_coverage_is_one_when_every_bin_was_seen(state):
    bins = np.repeat(np.arange(8)[:, None], 5, axis=1)
    state.keep(np.zeros((8, 5)), np.zeros(8, int), bins)
    assert coverage(state.record) == 1.0


def fresh():
    return ClientState(np.zeros(1, RECORD))


@settings(max_examples=25)
@given(st.lists(st.integers(1, 2**63), max_size=60))
def test_a_row_is_new_exactly_where_four_others_of_its_set_came_since(digests):
    state, sets = fresh(), {}
    for digest in digests:
        known = sets.setdefault((digest >> 20) % 1024, [])
        assert state.is_new(digest) == (digest not in known)
        if digest not in known:
            known[:] = [digest, *known][:4]


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 2**32 - 1), min_size=4, max_size=4), max_size=30))
def test_a_fingerprint_is_met_where_the_last_of_its_place_is_the_same(rows):
    state, table = fresh(), {}
    for bands in rows:
        met = any(table.get((band, mark % 1024)) == mark for band, mark in enumerate(bands))
        assert state.matches_fingerprint(bands) == met
        table |= {(band, mark % 1024): mark for band, mark in enumerate(bands)}


def test_attack_a_fingerprint_of_zero_is_not_met_in_an_empty_table():
    """None is ever zero: `bands` sets the lowest bit; what would be met is emptiness."""
    state = fresh()
    assert not state.matches_fingerprint([1, 1, 1, 1])
    assert state.matches_fingerprint([1, 2, 2, 2])


@settings(max_examples=25)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_the_ring_holds_the_last_rows_in_any_batches_and_the_mean_weighs_them(sizes):
    """The mean against NumPy: a batch weighs 1 - 0.98^n, or its share where that is more."""
    rows = np.random.default_rng(0).normal(size=(sum(sizes), 2)).astype(np.float32)
    state, mean, kept = fresh(), np.zeros(2), 0
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        state.keep(part, np.arange(len(part)), np.zeros(part.shape, int))
        weight = max(len(part) / (kept + len(part)), 1 - 0.98 ** len(part))
        mean, kept = mean * (1 - weight) + part.mean(axis=0) * weight, kept + len(part)

    held, _ = state.recent(2)
    assert sorted(map(tuple, held.tolist())) == sorted(map(tuple, rows[-RING:].tolist()))
    assert state.record["mean"][:2] == pytest.approx(mean, abs=1e-5)
    assert (state.centre(2) is None) == (kept < 30)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_mean_that_is_no_number_is_no_centre(value):
    state = fresh()
    state.record["kept"], state.record["mean"][1] = 100, value
    assert state.centre(3) is None
    assert state.centre(1) is not None, "columns beyond the width do not count"


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 7), min_size=3, max_size=3), min_size=1, max_size=30))
def test_coverage_is_the_share_of_different_bins_among_all_of_them(bins):
    state = fresh()
    for first in range(0, len(bins), 7):
        part = np.array(bins[first : first + 7])
        state.keep(np.zeros(part.shape), np.zeros(len(part), int), part)
    seen = {(column, bin_) for row in bins for column, bin_ in enumerate(row)}
    assert coverage(state.record) == pytest.approx(len(seen) / 24)


def test_more_columns_than_a_record_holds_are_cut_off():
    state = fresh()
    state.keep(np.zeros((2, 64)), np.zeros(2, int), np.full((2, 90), 3))
    assert int(state.record["columns"]) == 64
    assert coverage(state.record) == 1 / 8


@pytest.mark.parametrize("columns", [-5, 2**31 - 1])
def test_the_coverage_of_a_damaged_record_is_still_a_share(columns):
    state = fresh()
    state.record["columns"], state.record["bitmap"] = columns, 255
    assert 0 <= coverage(state.record) <= 1


def test_a_record_begins_with_what_the_processor_reads_without_a_copy():
    names = list(RECORD.names)
    assert RECORD.itemsize % 8 == 0
    assert all(
        RECORD.fields[name][1] % RECORD.fields[name][0].base.itemsize == 0
        for name in names
        if name != "name"
    )
    assert 80 * 1024 < RECORD.itemsize < 84 * 1024, "what README and settings say of its size"
