from __future__ import annotations

import numpy as np

from plugins.theft_guard.batch import QueryBatch
from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.detectors import DETECTORS
from plugins.theft_guard.neighbours import CHUNK


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
