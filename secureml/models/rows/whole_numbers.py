"""How far whole numbers go in the dtype that a column has."""

from __future__ import annotations

import numpy as np

from secureml.models.card import Feature


def bounds_of(feature: Feature) -> tuple[int, int]:
    """Return the least and the largest whole number that a column of this feature can hold."""
    found = np.iinfo(feature.frame_dtype or "int64")
    return int(found.min), int(found.max)
