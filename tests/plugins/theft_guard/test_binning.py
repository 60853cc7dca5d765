from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plugins.theft_guard.batch import QueryBatch
from plugins.theft_guard.binning import Binner
from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.detectors import BOUNDARY, CENTRAL, DETECTORS, MAHALANOBIS, RAYLEIGH, TAILS
from plugins.theft_guard.feature_space import FeatureSpace
from plugins.theft_guard.neighbours import CHUNK
from plugins.theft_guard.reference_profile import profile_of


def test_one_at_a_time_and_all_at_once_are_the_same(binner, target, batch_of):
    single, batch = (ClientState(np.zeros(1, RECORD)) for _ in range(2))
    # The mean of what came lately moves at the end of a batch; all else is row by row.
    steady = [
        index
        for index, detector in enumerate(DETECTORS)
        if detector not in ("mahalanobis", "rayleigh")
    ]
    for first in range(0, len(target.fresh), CHUNK):
        rows = target.fresh[first : first + CHUNK]
        singly = np.vstack([binner.bin_rows(batch_of(row[None]), single) for row in rows])
        together = binner.bin_rows(batch_of(rows), batch)

        assert np.array_equal(together[:, steady], singly[:, steady])
        assert (together == singly).mean() > 0.99


def test_a_row_sent_again_is_not_judged(binner, target, state, batch_of):
    assert len(binner.bin_rows(batch_of(target.fresh[:3]), state)) == 3
    assert len(binner.bin_rows(batch_of(target.fresh[:4]), state)) == 1


def test_nonsense_is_off_the_manifold_and_real_rows_are_on_it(binner, target, nonsense, batch_of):
    index = DETECTORS.index("mahalanobis")
    usual = binner.bin_rows(batch_of(target.fresh[:16]), ClientState(np.zeros(1, RECORD)))
    odd = binner.bin_rows(batch_of(nonsense(16)), ClientState(np.zeros(1, RECORD)))

    assert (usual[:, index] <= 1).mean() > 0.9
    assert (odd[:, index] == 3).all()


def test_an_unsure_answer_is_near_the_boundary_and_no_margin_says_nothing(
    binner, target, state, batch_of
):
    index = DETECTORS.index("boundary")
    assert binner.bin_rows(batch_of(target.fresh[:1], margin=0.0), state)[0][index] == 2
    assert binner.bin_rows(batch_of(target.fresh[1:2], margin=1.0), state)[0][index] == 0
    unknown = QueryBatch(target.fresh[2:3], None, np.array([0]), [12345])
    assert binner.bin_rows(unknown, state)[0][index] == -1


@pytest.fixture
def binner_of(target):
    """Return a function that makes a binner of the card with some of it changed."""

    def make(**changes):
        card = target.handle.card
        return Binner(FeatureSpace(card.features, replace(profile_of(card), **changes)))

    return make


def both(binner, batch_of, rows, **fields):
    """Return the bins of rows one by one and in a batch, both from records with these fields."""
    single, batch = (ClientState(np.zeros(1, RECORD)) for _ in range(2))
    for state in (single, batch):
        for name, value in fields.items():
            state.record[name] = value
    singly = np.vstack([binner.bin_rows(batch_of(row[None]), single) for row in rows])
    return singly, np.asarray(binner.bin_rows(batch_of(rows), batch))


LESS = [
    ({"margins": None}, "boundary"),
    ({"collisions": 0.02}, "fingerprints"),
]


@pytest.mark.parametrize(("changes", "silent"), LESS)
def test_what_a_card_does_not_say_a_detector_does_not_say(
    binner_of, target, nonsense, batch_of, changes, silent
):
    """Models without probabilities, columns of few values."""
    rows = np.vstack([target.fresh[:10], nonsense(10), target.fresh[:10] + 1e-3 * target.spread])
    singly, together = both(binner_of(**changes), batch_of, rows)
    index = DETECTORS.index(silent)

    assert np.array_equal(singly, together)
    assert set(singly[:, index]) == {-1}
    assert (singly[1:, [i for i in range(len(DETECTORS)) if i != index]] >= 0).mean() > 0.95


def test_a_share_of_fingerprints_just_below_the_bound_is_used(binner_of, target, batch_of):
    singly, _ = both(binner_of(collisions=0.0199), batch_of, target.fresh[:5])
    assert (singly[:, DETECTORS.index("fingerprints")] >= 0).all()


def thresholds(profile):
    usual, (most, almost) = profile.mahalanobis[2], profile.mahalanobis[4:6]
    return (most, almost, 2 * almost - usual), profile.columns


def test_bins_of_a_row_alone_are_those_of_the_cards_quantiles(
    binner, space, target, nonsense, batch_of, chance
):
    """Against NumPy over the whole table, with the definitions of the detectors' page."""
    rows = np.vstack([target.fresh[:60], nonsense(20), target.fresh[:20] * 0.5])
    margins = chance.uniform(size=len(rows)) ** 4
    profile = space.profile
    encoded = space.encode(rows)
    distances, quotients = space.mahalanobis(encoded)
    bins = space.bins(rows, encoded)
    edges, columns = thresholds(profile)
    queries = batch_of(rows)
    queries.margins = margins
    found = binner.bin_rows(queries, ClientState(np.zeros(1, RECORD)))

    count = lambda values, edges: (np.asarray(values)[:, None] > np.array(edges)).sum(axis=1)  # noqa: E731
    inner, outer = ((bins == 3) | (bins == 4)).sum(axis=1), ((bins == 0) | (bins == 7)).sum(axis=1)
    low = 2 - (distances[:, None] >= profile.mahalanobis[:2]).sum(axis=1)
    assert found[:, MAHALANOBIS].tolist() == count(distances, edges).tolist()
    assert found[:, RAYLEIGH].tolist() == count(quotients, profile.rayleigh).tolist()
    ends = np.array(profile.tails[2:]) * columns + 1e-6
    middle = np.array(profile.central[2:]) * columns + 1e-6
    assert found[:, TAILS].tolist() == count(outer, ends).tolist()
    assert found[:, CENTRAL].tolist() == np.maximum(low, count(inner, middle)).tolist()
    unsure = 2 - count(margins, profile.margins[0:3:2])
    assert found[:, BOUNDARY].tolist() == unsure.tolist()


@pytest.mark.parametrize(("level", "bins"), [(0, (2, 2, 1)), (2, (1, 1, 0))])
def test_a_margin_of_exactly_a_quantile_belongs_to_the_suspicious_side(
    binner, target, batch_of, level, bins
):
    edge = profile_of(target.handle.card).margins[level]
    margins = [np.nextafter(edge, 0), edge, np.nextafter(edge, 1)]
    for margin, bin_ in zip(margins, bins, strict=True):
        queries = batch_of(target.fresh[:1], margin=margin)
        (one,) = binner.bin_rows(queries, ClientState(np.zeros(1, RECORD)))
        assert one[BOUNDARY] == bin_
        pair = batch_of(target.fresh[:2], margin=margin)
        many = binner.bin_rows(pair, ClientState(np.zeros(1, RECORD)))
        assert set(many[:, BOUNDARY]) == {bin_}


def test_rows_that_all_moved_one_way_are_drift_and_those_that_did_not_are_odd(
    binner, target, batch_of, nonsense
):
    """From the subject's own mean on; thirty rows are enough for one."""
    moved = target.fresh[:90].copy()
    moved[:, :3] += 1.5 * target.spread[:3]
    for singly in (True, False):
        state = ClientState(np.zeros(1, RECORD))
        parts = [30] * 3 if not singly else [1] * 90
        found = np.vstack(
            [
                binner.bin_rows(batch_of(part), state)
                for part in np.split(moved, np.cumsum(parts)[:-1])
            ]
        )
        assert found[60:, MAHALANOBIS].mean() < found[:30, MAHALANOBIS].mean()
        odd = np.vstack([binner.bin_rows(batch_of(row[None]), state) for row in nonsense(5)])
        assert (odd[:, MAHALANOBIS] == 3).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_damaged_mean_neither_blinds_a_detector_nor_raises(binner, nonsense, batch_of, value):
    with np.errstate(all="ignore"):
        singly, together = both(binner, batch_of, nonsense(4), mean=value, kept=50)
    assert (singly[:, MAHALANOBIS] == 3).all()
    assert (together[:, MAHALANOBIS] == 3).all()


def test_attack_one_row_of_huge_numbers_does_not_blind_what_comes_after(
    binner, target, nonsense, batch_of, state
):
    for row in target.fresh[:40]:
        binner.bin_rows(batch_of(row[None]), state)
    binner.bin_rows(batch_of(np.full((1, 30), 1.7e308)), state)
    odd = np.vstack([binner.bin_rows(batch_of(row[None]), state) for row in nonsense(20)])

    assert np.isfinite(state.mean[:30]).all()
    assert (odd[:, MAHALANOBIS] == 3).mean() > 0.9


def test_no_rows_have_no_bins_and_change_no_record(binner, target, batch_of, state):
    before = state.record.copy()
    assert len(binner.bin_rows(batch_of(target.fresh[:0]), state)) == 0
    assert state.record == before


def test_a_row_that_comes_twice_in_one_batch_is_judged_once(binner, target, state, batch_of):
    found = binner.bin_rows(batch_of(target.fresh[[0, 1, 0, 1, 0]]), state)
    assert len(found) == 2
    assert int(state.record["kept"]) == 2
