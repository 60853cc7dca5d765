"""What the rows of a request are by themselves, and what a card must say for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Numbers = np.ndarray[Any, Any]


class Reference(Protocol):
    """What the card says is usual; see the core's own class for what each number means."""

    bins: tuple[tuple[float, ...], ...]
    strange: tuple[float, ...]
    near: tuple[float, ...]
    apart: tuple[tuple[float, ...], ...]
    changed: float
    margins: tuple[float, ...] | None
    outer: tuple[float, ...]
    inner: tuple[float, ...]
    collides: float
    slant: tuple[float, ...] | None
    stride: tuple[float, ...] | None


class Ruler(Protocol):
    """Measures rows by the card."""

    reference: Any  # a Reference, which a protocol with tuples in it would not match
    fingerprints: Any
    width: int
    plain: bool

    def encode(self, rows: Any) -> Numbers: ...
    def mahalanobis(
        self, encoded: Numbers, centre: Numbers | None = None
    ) -> tuple[Numbers, Numbers]: ...
    def mahalanobis_one(
        self, row: Numbers, centre: Numbers | None = None
    ) -> tuple[float, float]: ...
    def rayleigh(self, away: Numbers) -> tuple[Numbers, Numbers]: ...
    def rayleigh_one(self, away: Numbers) -> tuple[float, float]: ...
    def bins(self, rows: Any, encoded: Numbers) -> Numbers: ...


@dataclass(slots=True)
class Seen:
    """What a batch is by itself: the same whoever sent it. One entry a row."""

    encoded: Numbers
    bins: Numbers
    bands: list[list[int]]
    labels: Numbers

    def __len__(self) -> int:
        return len(self.bands)
