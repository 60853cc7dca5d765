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


def pairs(binner, rows, labels):
    """For each row: distance, label and step to its nearest of RING before; by plain loops."""
    encoded = binner._space.encode(rows).astype(np.float32).astype(float)
    for place, row in enumerate(encoded):
        earlier = range(max(0, place - RING), place)
        gaps = [np.linalg.norm(row - encoded[other]) for other in earlier]
        alike = [
            gap for gap, other in zip(gaps, earlier, strict=True) if labels[other] == labels[place]
        ]
        yield place, gaps, alike, earlier


@pytest.mark.parametrize("seed", range(3))
def test_label_flips_and_deciles_are_those_of_plain_loops(binner, target, batch_of, seed):
    """A wandering attacker: each row a small step from one before, its answer by chance."""
    chance, profile = np.random.default_rng(seed), binner._space.profile
    rows = target.fresh[chance.integers(0, 20, 150)]
    rows = (
        rows
        + chance.choice([0.001, 0.05, 0.5], (150, 1))
        * chance.normal(size=rows.shape)
        * target.spread
    )
    labels = chance.integers(0, 2, 150)
    state = ClientState(np.zeros(1, RECORD))
    found = []
    for first in (0, 100):
        queries = batch_of(rows[first : first + 100])
        queries.labels = labels[first : first + 100]
        found.append(binner.bin_rows(queries, state))
    found = np.vstack(found)
    wrong = 0
    for place, gaps, alike, earlier in pairs(binner, rows, labels):
        if not gaps:
            continue
        nearest = int(np.argmin(gaps))
        close = sum(gaps[nearest] <= edge for edge in profile.nearest[0:3:2])
        flips = labels[earlier[nearest]] != labels[place]
        if close:
            wrong += found[place, DETECTORS.index("label_flip")] != flips
            wrong += found[place, DETECTORS.index("nearest")] != close
        if alike:
            decile = (min(alike) > np.array(profile.class_distances[labels[place]])).sum()
            wrong += found[place, DETECTORS.index("prada")] != decile

    assert wrong <= 2, "but for distances that a float of 32 bits has on either side of an edge"


@pytest.mark.parametrize("slots", [slice(0, 1), slice(3, 9), slice(None)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_damaged_ring_is_nobodys_neighbour(binner, target, batch_of, slots, value):
    """A customer is not suspected for what a disk did, row by row or in a batch."""
    for rows in (target.fresh[:1], target.fresh[:4]):
        state = ClientState(np.zeros(1, RECORD))
        state.record["kept"] = RING
        state.record["ring"][...] = 99.0
        state.record["ring"][slots] = value
        with np.errstate(all="ignore"):
            bins = np.asarray(binner.bin_rows(batch_of(rows), state))
        assert (column(bins, "nearest") <= 0).all()
        assert (column(bins, "label_flip") <= 0).all()


def test_a_row_that_differs_in_a_few_columns_is_a_variation_however_far(binner, target, batch_of):
    """What-if questions: two columns turned all the way, the other twenty-eight untouched."""
    row = target.fresh[:1]
    varied = row.copy()
    varied[0, :2] = target.high[:2] * 4
    for rows in ([row, varied], [np.vstack([row, varied])]):
        state = ClientState(np.zeros(1, RECORD))
        bins = [np.asarray(binner.bin_rows(batch_of(each), state)) for each in rows]
        assert column(np.vstack(bins), "nearest").tolist() == [-1, 1]


def test_neighbours_of_a_row_sent_to_the_last_digit_again_are_at_no_distance(
    binner, target, batch_of
):
    """Its digest is new where a column that is not compared differs: nearest, and no step."""
    state = ClientState(np.zeros(1, RECORD))
    binner.bin_rows(batch_of(target.fresh[:1]), state)
    again = batch_of(target.fresh[:1])
    again.digests = [each ^ (1 << 40) for each in again.digests]
    (bins,) = binner.bin_rows(again, state)

    assert bins[DETECTORS.index("nearest")] == 2
    assert bins[DETECTORS.index("step")] == 0
    assert bins[DETECTORS.index("prada")] == 0
