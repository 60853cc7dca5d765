from __future__ import annotations

import pytest

from plugins.theft_guard.coarse import coarser, margins


def test_a_margin_is_the_lead_of_the_best_over_the_next():
    assert margins([[0.7, 0.1, 0.2], [0.5, 0.5, 0.0]]).tolist() == pytest.approx([0.5, 0.0])
    assert margins(None) is None
    assert margins([[1.0]]) is None


def test_coarser_is_one_decimal_or_nothing():
    assert coarser([[0.123, 0.877]], "rounded") == [[0.1, 0.9]]
    assert coarser([[0.123, 0.877]], "labels") is None
    assert coarser(None, "rounded") is None
