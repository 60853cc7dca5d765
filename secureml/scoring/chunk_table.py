"""What a chunk of rows is to those that score it, whichever file it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np


class Span(NamedTuple):
    """A chunk of a file: of CSV bytes from ``start`` to ``end``, of Parquet row group and part.

    ``first`` is the line or row that it begins with, counted from 1, ``rows`` how many there are.
    """

    start: int
    end: int
    first: int
    rows: int


class Plan(NamedTuple):
    """A file as it is before the run: its size in bytes, its SHA-256 in hex, its chunks."""

    size: int
    sha256: str
    spans: tuple[Span, ...]

    @property
    def rows(self) -> int:
        """How many rows there are, at most: blank lines of CSV are counted."""
        return sum(span.rows for span in self.spans)


class ChunkTable(Protocol):
    """Rows of a chunk by column."""

    @property
    def places(self) -> Sequence[int]:
        """The line or row of the file that each row stands in."""

    @property
    def malformed(self) -> Sequence[tuple[int, str]]:
        """Lines that are no rows, with the code of why."""

    def numbers(self) -> np.ndarray[Any, Any] | None:
        """Return all features as (rows, features) in float64, NaN where missing.

        None where they are not plainly numbers.
        """

    def cells(self) -> list[list[Any]]:
        """Return each feature's cells as JSON values, None where missing."""

    def kept(self, rows: Sequence[int]) -> list[Any]:
        """Return the columns that pass through, of some rows."""
