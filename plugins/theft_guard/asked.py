"""The rows of one request with their answers, before anything about them is measured.

A row that was sent before is known by its digest alone, so it costs no measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]


@dataclass(slots=True)
class Asked:
    """One entry a row; ``margins`` is the lead of the best answer, None where it is unknown.

    ``rows`` is the table the model was asked with, an array or a frame; ``labels`` are places
    among the card's classes, ``marks`` digests of whole rows.
    """

    rows: Any
    margins: Numbers | None
    labels: Numbers
    marks: list[int]

    def __len__(self) -> int:
        return len(self.marks)

    def part(self, chosen: Sequence[int]) -> Asked:
        """Return some of the rows."""
        return Asked(
            rows=self.rows[chosen] if isinstance(self.rows, np.ndarray) else self.rows.iloc[chosen],
            margins=None if self.margins is None else self.margins[chosen],
            labels=self.labels[chosen],
            marks=[self.marks[row] for row in chosen],
        )


def digests(rows: Any, key: bytes) -> list[int]:
    """Return 64 bits of each row as it was sent, columns that are not compared included.

    Keyed, so that nobody can make rows that pass for one another and are not judged.
    """
    if isinstance(rows, np.ndarray) and rows.dtype == np.float64:
        whole, each = rows.tobytes(), rows.shape[1] * rows.itemsize
        texts = [whole[first : first + each] for first in range(0, len(whole), each)]
    else:
        table = rows if isinstance(rows, np.ndarray) else rows.to_numpy(dtype=object)
        texts = [repr(row.tolist()).encode() for row in table]
    made = (blake2b(text, digest_size=8, key=key).digest() for text in texts)
    return [int.from_bytes(digest, "little") | 1 for digest in made]
