from __future__ import annotations

from plugins.theft_guard import names
from plugins.theft_guard.memory import TESTS
from plugins.theft_guard.sequence import ATTACK, USUAL


def test_every_test_has_a_place_a_reason_and_shares():
    assert len(names.TESTS) == TESTS
    assert set(names.TESTS) == set(names.REASONS) == set(USUAL) == set(ATTACK)
    for place, test in enumerate(names.TESTS):
        assert getattr(names, test.upper()) == place
        assert len(USUAL[test]) == len(ATTACK[test])
