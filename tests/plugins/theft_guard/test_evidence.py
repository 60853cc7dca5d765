from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.asked import Asked, digests
from plugins.theft_guard.beside import CHUNK
from plugins.theft_guard.evidence import Scale
from plugins.theft_guard.memory import SLOT, Memory
from plugins.theft_guard.names import TESTS
from secureml import Typicality


@pytest.fixture
def scale(target):
    return Scale(Typicality(target.handle.card, target.handle.card.reference))


@pytest.fixture
def memory():
    return Memory(np.zeros(1, SLOT))


def asked(rows, margin=1.0, label=0):
    many = len(rows)
    return Asked(rows, np.full(many, margin), np.full(many, label), digests(rows, b"key"))


def test_one_at_a_time_and_all_at_once_are_the_same(scale, target):
    one, many = (Memory(np.zeros(1, SLOT)) for _ in range(2))
    # The mean of what came lately moves at the end of a batch; all else is row by row.
    steady = [place for place, test in enumerate(TESTS) if test not in ("manifold", "slant")]
    for first in range(0, len(target.fresh), CHUNK):
        rows = target.fresh[first : first + CHUNK]
        singly = np.vstack([scale.judge(asked(row[None]), one) for row in rows])
        together = scale.judge(asked(rows), many)

        assert np.array_equal(together[:, steady], singly[:, steady])
        assert (together == singly).mean() > 0.99


def test_a_row_sent_again_is_not_judged(scale, target, memory):
    assert len(scale.judge(asked(target.fresh[:3]), memory)) == 3
    assert len(scale.judge(asked(target.fresh[:4]), memory)) == 1


def test_nonsense_is_off_the_manifold_and_real_rows_are_on_it(scale, target, nonsense):
    place = TESTS.index("manifold")
    usual = scale.judge(asked(target.fresh[:16]), Memory(np.zeros(1, SLOT)))
    odd = scale.judge(asked(nonsense(16)), Memory(np.zeros(1, SLOT)))

    assert (usual[:, place] <= 1).mean() > 0.9
    assert (odd[:, place] == 3).all()


def test_an_unsure_answer_is_near_the_boundary_and_no_margin_says_nothing(scale, target, memory):
    place = TESTS.index("boundary")
    assert scale.judge(asked(target.fresh[:1], margin=0.0), memory)[0][place] == 2
    assert scale.judge(asked(target.fresh[1:2], margin=1.0), memory)[0][place] == 0
    unknown = Asked(target.fresh[2:3], None, np.array([0]), [12345])
    assert scale.judge(unknown, memory)[0][place] == -1
