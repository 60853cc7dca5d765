from __future__ import annotations

import numpy as np
import pytest

from plugins.theft_guard.asked import Asked, digests
from plugins.theft_guard.evidence import Scale
from plugins.theft_guard.memory import RING, SLOT, Memory
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


def test_a_small_step_is_near_and_one_that_turns_the_answer_is_a_chain(scale, target, memory):
    row = target.fresh[:1]
    scale.judge(asked(row), memory)
    (stepped,) = scale.judge(asked(row + 1e-3 * target.spread), memory)
    (turned,) = scale.judge(asked(row + 2e-3 * target.spread, label=1), memory)

    assert stepped[TESTS.index("near")] == 2
    assert stepped[TESTS.index("prints")] == 1
    assert stepped[TESTS.index("chain")] == 0
    assert turned[TESTS.index("chain")] == 1


def test_the_first_row_has_nothing_to_be_near_to(scale, target, memory):
    (first,) = scale.judge(asked(target.fresh[:1]), memory)
    assert [first[TESTS.index(t)] for t in ("near", "chain", "spacing")] == [-1, -1, -1]


def test_a_short_step_of_noise_is_a_stride_and_one_between_real_rows_is_none(
    scale, target, memory, chance
):
    place, rows = TESTS.index("stride"), target.fresh[:60]
    usual = scale.judge(asked(rows), memory)
    noisy = rows + chance.normal(0, 0.1, rows.shape) * target.spread
    odd = scale.judge(asked(noisy), memory)

    assert (usual[1:, place] > 0).mean() < 0.1
    assert (odd[:, place] > 0).mean() > 0.5


@pytest.mark.parametrize(("before", "known"), [(RING, True), (RING + 1, False)])
def test_a_row_is_beside_the_last_of_the_ring_and_no_row_further_back(scale, target, before, known):
    place, rows = TESTS.index("near"), target.fresh[:before]
    batch, single = (Memory(np.zeros(1, SLOT)) for _ in range(2))
    again = rows[:1] + 1e-3 * target.spread
    for row in rows:
        scale.judge(asked(row[None]), single)
    (alone,) = scale.judge(asked(again), single)
    scale.judge(asked(rows[:100]), batch)
    together = scale.judge(asked(np.vstack([rows[100:], again])), batch)[-1]

    assert (alone[place] == 2) == (together[place] == 2) == known
