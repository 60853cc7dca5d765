"""How a client's rows differ from usual rows: for each row one bin in each of ten tests.

All tests are questions with a known answer for customers, because the signed card has
measured it: at most the shares in ``USUAL`` of their rows fall into the suspicious bins, with
room to spare for customers whose rows are not a fair sample. A row sent twice teaches nothing
and is not judged at all.

Sources: Mahalanobis; HODA (Sadeghzadeh et al., arXiv 2106.11424) for ``boundary``; stateful
detection (Chen, Carlini, Wagner 2019) for ``near``; Blacklight (Li et al., USENIX Security
2022) for ``prints``; PRADA (Juuti et al., arXiv 1805.02628) for ``spacing``, calibrated on the
card instead of assumed normal. ``slant`` and ``stride`` are Rayleigh quotients: noise goes
every way alike, rows go the ways in which their columns hang together, and that shows however
small the noise is.

A single row is judged with Python's numbers and a batch with NumPy's tables: a table of one row
costs forty calls for nothing. Both say the same, which tests/plugins/theft_guard holds them to.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from .asked import Asked
from .beside import Beside
from .memory import Memory
from .names import BOUNDARY, EDGES, MANIFOLD, MIDDLE, SLANT, TESTS
from .seen import Reference, Ruler, Seen
from .sequence import Bins

Numbers = np.ndarray[Any, Any]

# What a quantile bin counts for: 1 beyond the outer edges, 2**16 between the quartiles.
_WORTH = np.array([1, 0, 0, 1 << 16, 1 << 16, 0, 0, 1])
_NOTHING = np.zeros((0, len(TESTS)), dtype=np.int8)


class Scale:
    """The card's thresholds, and how to put rows into bins by them."""

    def __init__(self, ruler: Ruler) -> None:
        known: Reference = ruler.reference
        self._ruler, self.width = ruler, ruler.width
        least, less, usual, _, most, almost, _ = known.strange
        # Beyond what almost no row of the table reached when it was held out.
        self._strange = (most, almost, almost + (almost - usual))
        self._tame, self._slant = (least, less), known.slant
        columns = len(known.bins)
        self._outer = tuple(share * columns + 1e-6 for share in known.outer[2:4])
        self._inner = tuple(share * columns + 1e-6 for share in known.inner[2:4])
        self._margins = None if known.margins is None else known.margins[0:3:2]
        self._beside = Beside(ruler)
        self._classes = len(known.apart)

    def judge(self, asked: Asked, memory: Memory) -> Bins:
        """Return (new rows, tests) bins, -1 where a test says nothing; ``memory`` learns them.

        At most `beside.CHUNK` rows; of a single one its bins are a list in a list.
        """
        if len(asked) == 1:
            return self._judge_one(asked, memory) if memory.is_new(asked.marks[0]) else _NOTHING
        fresh = [row for row, mark in enumerate(asked.marks) if memory.is_new(mark)]
        if not fresh:
            return _NOTHING
        asked = asked if len(fresh) == len(asked) else asked.part(fresh)
        seen = self._look(asked)
        found = self._alone(seen, asked.margins)
        self._settle(found, seen, memory.centre(self.width))
        self._beside.compare(seen, memory, found)
        memory.keep(seen.encoded, seen.labels, seen.bins)
        return found

    def _judge_one(self, asked: Asked, memory: Memory) -> list[list[int]]:
        seen = self._look(asked)
        found = self._alone_one(seen, asked.margins)
        if found[MANIFOLD] > 0 or found[SLANT] > 0:
            self._settle_one(found, seen, memory.centre(self.width))
        self._beside.compare_one(seen, memory, found)
        memory.keep(seen.encoded, seen.labels, seen.bins)
        return [found]

    def _look(self, asked: Asked) -> Seen:
        encoded = self._ruler.encode(asked.rows)
        few = len(asked) == 1 and asked.labels[0] < self._classes
        return Seen(
            encoded=encoded,
            bins=self._ruler.bins(asked.rows, encoded),
            bands=self._ruler.fingerprints.bands(encoded).tolist(),
            labels=asked.labels if few else np.minimum(asked.labels, self._classes - 1),
        )

    def _alone_one(self, seen: Seen, margins: Numbers | None) -> list[int]:
        strange, slant = self._ruler.mahalanobis_one(seen.encoded[0])
        held, found = seen.bins.tobytes(), [-1] * len(TESTS)
        inner = bisect_left(self._inner, held.count(3) + held.count(4))
        found[MANIFOLD] = bisect_left(self._strange, strange)
        found[EDGES] = bisect_left(self._outer, held.count(0) + held.count(7))
        found[MIDDLE] = max(2 - bisect_right(self._tame, strange), inner)
        if margins is not None and self._margins is not None:
            found[BOUNDARY] = 2 - bisect_left(self._margins, float(margins[0]))
        if self._slant is not None:
            found[SLANT] = bisect_left(self._slant, slant)
        return found

    def _alone(self, seen: Seen, margins: Numbers | None) -> Numbers:
        strange, slant = self._ruler.mahalanobis(seen.encoded)
        ends = np.add.reduce(_WORTH.take(seen.bins), axis=1)
        found = np.full((len(seen), len(TESTS)), -1, dtype=np.int8)
        found[:, MANIFOLD] = np.searchsorted(self._strange, strange)
        found[:, EDGES] = np.searchsorted(self._outer, ends & 0xFFFF)
        found[:, MIDDLE] = np.maximum(
            2 - np.searchsorted(self._tame, strange, "right"),
            np.searchsorted(self._inner, ends >> 16),
        )
        if margins is not None and self._margins is not None:
            found[:, BOUNDARY] = 2 - np.searchsorted(self._margins, margins)
        if self._slant is not None:
            found[:, SLANT] = np.searchsorted(self._slant, slant)
        return found

    def _settle_one(self, found: list[int], seen: Seen, centre: Numbers | None) -> None:
        """Judge a row anew from where the party's own rows lie, if they have all moved one way.

        That is drift: a sensor, a season. An attacker's rows are odd in all directions.
        """
        if centre is None:
            return
        strange, slant = self._ruler.mahalanobis_one(seen.encoded[0], centre)
        found[MANIFOLD] = min(found[MANIFOLD], bisect_left(self._strange, strange))
        if self._slant is not None:
            found[SLANT] = min(found[SLANT], bisect_left(self._slant, slant))

    def _settle(self, found: Numbers, seen: Seen, centre: Numbers | None) -> None:
        odd = (found[:, MANIFOLD] > 0) | (found[:, SLANT] > 0)
        if centre is None or not odd.any():
            return
        strange, slant = self._ruler.mahalanobis(seen.encoded[odd], centre)
        _lower(found, MANIFOLD, odd, np.searchsorted(self._strange, strange))
        if self._slant is not None:
            _lower(found, SLANT, odd, np.searchsorted(self._slant, slant))


def _lower(found: Numbers, test: int, rows: Numbers, bins: Numbers) -> None:
    found[rows, test] = np.minimum(found[rows, test], bins)
