"""How far answers can be relied on, where a plugin knows it; imports no scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from secureml.models.card import Scalar


@dataclass(frozen=True, slots=True)
class Reliability:
    """Beside the answers of a result, one a row; None where it is not known or withheld.

    ``prediction_sets`` of classes and ``intervals`` (lower and upper end) hold the true answer of a
    share ``coverage`` of rows; ``in_distribution`` tells whether a row is like those that the model
    was made for.
    """

    coverage: float | None = None
    prediction_sets: list[list[Scalar] | None] | None = None
    intervals: list[list[float] | None] | None = None
    in_distribution: list[bool] | None = None

    def members(self) -> dict[str, Any]:
        """Return what is known, by the names that an answer has for it."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}
