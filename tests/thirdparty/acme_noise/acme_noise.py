"""Noise: adds a little noise to probabilities, so that they reveal less.

Runs in SHAPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from secureml import Exchange, Host, Plugin, Result


class Noise(Plugin):
    """Adds noise to each probability, and rounds it."""

    name = "noise"

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._generator = host.generator  # not called: this runs before the workers are made

    def shape(self, exchange: Exchange, result: Result) -> Result:
        """Return a new result; the given one is not changed."""
        if result.probabilities is None:
            return result
        return replace(result, probabilities=[self._blur(row) for row in result.probabilities])

    def _blur(self, row: list[float | None]) -> list[float | None]:
        draw = self._generator()
        noisy = [None if p is None else max(p + draw.normal(0, 0.01), 0.0) for p in row]
        total = sum(p for p in noisy if p is not None) or 1.0
        return [None if p is None else float(round(p / total, 2)) for p in noisy]
