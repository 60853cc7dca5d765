from __future__ import annotations

import pytest

from secureml.models.card import Feature
from secureml.models.rows.whole_numbers import bounds_of


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [("", (-(2**63), 2**63 - 1)), ("int8", (-128, 127)), ("uint16", (0, 65535))],
)
def test_a_dtype_says_how_far_whole_numbers_go(dtype, bounds):
    assert bounds_of(Feature("a", "integer", frame_dtype=dtype)) == bounds
