"""What a run is to do, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from secureml.models.card import Card

CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class SealedModel:
    """A verified model: its card, the digests of its files, and where or what they are.

    ``sent`` are the bytes of the model and of its card where workers are to be sent them; else
    workers read the folder ``root`` of all models themselves.
    """

    card: Card
    digests: tuple[str, str]
    root: Path
    allowed: frozenset[str]
    sent: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class Options:
    """How to score; rows of a chunk are scored, and held in memory, together.

    ``local`` says that workers are processes of this one, and end with it.
    """

    chunk_rows: int = CHUNK_ROWS
    probabilities: bool = False
    keep: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    skip_bad_rows: bool = False
    report: Path | None = None
    force: bool = False
    restart: bool = False
    local: bool = True
    stated: Mapping[str, str] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """Return what a resumed run must share: what decides how its parts look."""
        return {
            "chunk_rows": self.chunk_rows,
            "probabilities": self.probabilities,
            "keep": list(self.keep),
            "ignore": list(self.ignore),
            "report": self.report is not None,
            "stated": dict(self.stated),
        }


class Summary(NamedTuple):
    """What came of a run: rows read, answered and refused, by code; cells clipped and flagged.

    ``resumed`` are the rows that an earlier run had finished.
    """

    files: int
    read: int
    answered: int
    refused: dict[str, int]
    changed: dict[str, int]
    resumed: int
