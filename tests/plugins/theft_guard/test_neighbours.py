from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.client_state import RECORD, RING, ClientState
from plugins.theft_guard.detectors import DETECTORS


def test_a_small_step_is_near_and_one_that_turns_the_answer_is_a_chain(
    binner, target, state, batch_of
):
    row = target.fresh[:1]
    binner.bin_rows(batch_of(row), state)
    (stepped,) = binner.bin_rows(batch_of(row + 1e-3 * target.spread), state)
    (turned,) = binner.bin_rows(batch_of(row + 2e-3 * target.spread, label=1), state)

    assert stepped[DETECTORS.index("nearest")] == 2
    assert stepped[DETECTORS.index("fingerprints")] == 1
    assert stepped[DETECTORS.index("label_flip")] == 0
    assert turned[DETECTORS.index("label_flip")] == 1


def test_the_first_row_has_nothing_to_be_near_to(binner, target, state, batch_of):
    (first,) = binner.bin_rows(batch_of(target.fresh[:1]), state)
    assert [first[DETECTORS.index(t)] for t in ("nearest", "label_flip", "prada")] == [-1, -1, -1]


def test_a_short_step_of_noise_is_suspicious_and_one_between_real_rows_is_not(
    binner, target, state, chance, batch_of
):
    index, rows = DETECTORS.index("step"), target.fresh[:60]
    usual = binner.bin_rows(batch_of(rows), state)
    noisy = rows + chance.normal(0, 0.1, rows.shape) * target.spread
    odd = binner.bin_rows(batch_of(noisy), state)

    assert (usual[1:, index] > 0).mean() < 0.1
    assert (odd[:, index] > 0).mean() > 0.5


@pytest.mark.parametrize(("before", "known"), [(RING, True), (RING + 1, False)])
def test_a_row_is_beside_the_last_of_the_ring_and_no_row_further_back(
    binner, target, before, known, batch_of
):
    index, rows = DETECTORS.index("nearest"), target.fresh[:before]
    batch, single = (ClientState(np.zeros(1, RECORD)) for _ in range(2))
    again = rows[:1] + 1e-3 * target.spread
    for row in rows:
        binner.bin_rows(batch_of(row[None]), single)
    (alone,) = binner.bin_rows(batch_of(again), single)
    binner.bin_rows(batch_of(rows[:100]), batch)
    together = binner.bin_rows(batch_of(np.vstack([rows[100:], again])), batch)[-1]

    assert (alone[index] == 2) == (together[index] == 2) == known


def column(bins, name):
    return np.asarray(bins)[:, DETECTORS.index(name)]


def nearest_by_hand(binner, rows):
    """For each row the distance to the nearest row before it, by NumPy over all pairs."""
    encoded = binner._space.encode(rows).astype(np.float32).astype(float)
    gaps = np.linalg.norm(encoded[:, None] - encoded[None], axis=2)
    gaps[np.triu_indices(len(rows))] = np.inf
    return gaps.min(axis=1)


def test_nearest_bins_are_those_of_distances_over_all_pairs(
    binner, target, state, batch_of, chance
):
    rows = target.fresh[:100] + chance.normal(0, 0.05, (100, 30)) * target.spread
    bins = binner.bin_rows(batch_of(rows), state)
    profile, gaps = binner._space.profile, nearest_by_hand(binner, rows)
    close, fair = profile.nearest[0], profile.nearest[2]
    expected = (gaps <= fair).astype(int) + (gaps <= close)
    known = np.isfinite(gaps)

    assert (column(bins, "nearest")[known] >= expected[known]).all()
    assert (column(bins, "nearest")[known] == expected[known]).mean() > 0.95
    assert column(bins, "nearest")[~known].tolist() == [-1]


def test_prada_counts_the_deciles_below_the_nearest_row_answered_alike(
    binner, target, state, batch_of
):
    rows = target.fresh[:60]
    bins = binner.bin_rows(batch_of(rows, label=1), state)
    gaps = nearest_by_hand(binner, rows)[1:]
    deciles = np.array(binner._space.profile.class_distances[1])
    expected = (gaps[:, None] > deciles).sum(axis=1)

    assert (column(bins, "prada")[1:] == expected).mean() > 0.98
    assert column(bins, "prada")[0] == -1


def test_rows_of_another_label_have_no_row_answered_alike(binner, target, state, batch_of):
    binner.bin_rows(batch_of(target.fresh[:5], label=0), state)
    bins = binner.bin_rows(batch_of(target.fresh[5:6], label=1), state)
    assert column(bins, "prada").tolist() == [-1]
    assert column(bins, "nearest")[0] >= 0


def test_a_label_that_the_card_does_not_know_counts_as_its_last(binner, target, state, batch_of):
    bins = binner.bin_rows(batch_of(target.fresh[:3], label=99), state)
    assert len(bins) == 3
    assert set(state.labels[:3].tolist()) == {1}
