"""The rows of one request with their answers, as they were sent and as numbers.

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
class QueryBatch:
    """Rows as the model was asked them, n of them.

    ``rows`` is an array or a frame of n rows; ``margins``, (n,), how far the best answer leads
    the next, 0 to 1, None where that is unknown; ``labels``, (n,), indexes among the card's
    classes; ``digests`` one number of 64 bits for each whole row.
    """

    rows: Any
    margins: Numbers | None
    labels: Numbers
    digests: list[int]

    def __len__(self) -> int:
        return len(self.digests)

    def part(self, chosen: Sequence[int]) -> QueryBatch:
        """Return the rows at these indexes."""
        return QueryBatch(
            rows=self.rows[chosen] if isinstance(self.rows, np.ndarray) else self.rows.iloc[chosen],
            margins=None if self.margins is None else self.margins[chosen],
            labels=self.labels[chosen],
            digests=[self.digests[row] for row in chosen],
        )


@dataclass(slots=True)
class EncodedBatch:
    """The same rows as numbers, whoever sent them.

    ``rows``, (n, width), in the card's units; ``bins``, (n, columns), the quantile bin of each
    value, 0 to 7; ``bands``, n lists of fingerprints; ``labels``, (n,).
    """

    rows: Numbers
    bins: Numbers
    bands: list[list[int]]
    labels: Numbers

    def __len__(self) -> int:
        return len(self.bands)


def row_digests(rows: Any, key: bytes) -> list[int]:
    """Return 64 bits (BLAKE2b) of each row as it was sent, columns that are not compared included.

    Keyed, so that nobody can make rows that pass for one another and are not judged. Never 0.
    """
    if isinstance(rows, np.ndarray) and rows.dtype == np.float64:
        whole, each = rows.tobytes(), rows.shape[1] * rows.itemsize
        texts = [whole[first : first + each] for first in range(0, len(whole), each)]
    else:
        table = rows if isinstance(rows, np.ndarray) else rows.to_numpy(dtype=object)
        texts = [repr(row.tolist()).encode() for row in table]
    hashes = (blake2b(text, digest_size=8, key=key).digest() for text in texts)
    return [int.from_bytes(found, "little") | 1 for found in hashes]
