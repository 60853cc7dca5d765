"""Beyond what two clocks may differ, a time ahead means that the clock was set back."""

from __future__ import annotations

import pytest

from plugins.anomaly.clock_skew import CLOCK_SKEW, is_ahead


@pytest.mark.parametrize(
    ("offset", "ahead"),
    [(-1e9, False), (0.0, False), (CLOCK_SKEW, False), (CLOCK_SKEW + 0.5, True), (1e9, True)],
)
def test_a_moment_is_ahead_beyond_the_skew_of_two_clocks(offset, ahead):
    assert is_ahead(1_000_000.0 + offset, 1_000_000.0) is ahead
