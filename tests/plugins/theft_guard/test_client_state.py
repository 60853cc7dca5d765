from __future__ import annotations

import numpy as np
import pytest

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
