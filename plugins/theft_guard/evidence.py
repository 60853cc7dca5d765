"""How a client's rows differ from usual rows: for each row one bin in each of nine tests.

All tests are questions with a known answer for customers, because the signed card has
measured it: at most the shares in ``USUAL`` of their rows fall into the suspicious bins, with
room to spare for customers whose rows are not a fair sample. A row sent twice teaches nothing
and is not judged at all.

Sources: Mahalanobis; HODA (Sadeghzadeh et al., arXiv 2106.11424) for ``boundary``; stateful
detection (Chen, Carlini, Wagner 2019) for ``near``; Blacklight (Li et al., USENIX Security
2022) for ``prints``; PRADA (Juuti et al., arXiv 1805.02628) for ``spacing``, calibrated on the
card instead of assumed normal. ``slant`` is a Rayleigh quotient: noise goes every way alike, rows
go the ways in which their columns hang together, and that shows however small the noise is.

A single row is judged with Python's numbers and a batch with NumPy's tables: a table of one row
costs forty calls for nothing. Both say the same, which tests/plugins/theft_guard holds them to.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from .memory import RING, Memory

Numbers = np.ndarray[Any, Any]

TESTS = ("manifold", "edges", "middle", "boundary", "near", "chain", "prints", "spacing", "slant")
REASONS = {
    "manifold": "columns combined as no real row combines them",
    "edges": "values at the ends of many columns at once",
    "middle": "rows nearer to the middle than real rows are",
    "boundary": "answers the model is least sure of",
    "near": "rows very near to rows just sent",
    "chain": "small steps that change the answer",
    "prints": "variations of rows sent earlier",
    "spacing": "distances to rows answered alike that real rows do not have",
    "slant": "columns that go their own ways, however little",
}
MANIFOLD, EDGES, MIDDLE, BOUNDARY, NEAR, CHAIN, PRINTS, SPACING, SLANT = range(len(TESTS))
CHUNK = 64  # rows compared at once: more would not fit the processor's cache
_ABOVE, _LINES = np.triu(np.ones((CHUNK, CHUNK), dtype=bool)), np.arange(CHUNK)
# Which rows of a full ring, from the oldest, a row of a batch comes too late to meet.
_LATE, _GONE = np.nonzero(np.tri(CHUNK, CHUNK, -1, dtype=bool))
# What a quantile bin counts for: 1 beyond the outer edges, 2**16 between the quartiles.
_WORTH = np.array([1, 0, 0, 1 << 16, 1 << 16, 0, 0, 1])
_NOTHING = [-1] * (len(TESTS) - 3)
_SAME = 1e-6  # a step smaller than this is none: nobody hides which columns he varies behind it

class Reference(Protocol):
    """What the card says is usual; see the core's own class for what each number means."""

    mean: tuple[float, ...]
    strange: tuple[float, ...]
    near: tuple[float, ...]
    apart: tuple[tuple[float, ...], ...]
    changed: float
    margins: tuple[float, ...] | None
    outer: tuple[float, ...]
    inner: tuple[float, ...]
    collides: float
    slant: tuple[float, ...] | None


class Ruler(Protocol):
    """Measures rows by the card."""

    reference: Any  # a Reference, which a protocol with tuples in it would not match
    prints: Any
    width: int
    plain: bool

    def encode(self, rows: Any) -> Numbers: ...
    def strangeness(
        self, encoded: Numbers, centre: Numbers | None = None
    ) -> tuple[Numbers, Numbers]: ...
    def strange_one(self, row: Numbers, centre: Numbers | None = None) -> tuple[float, float]: ...
    def bins(self, rows: Any, encoded: Numbers) -> Numbers: ...


@dataclass(slots=True)
class Seen:
    """What a batch is by itself: the same whoever sent it. One entry a row."""

    encoded: Numbers
    bins: Numbers
    whole: list[int]
    bands: list[list[int]]
    labels: Numbers
    alone: Numbers  # (rows, tests): bins of the tests that look at a row by itself

    def __len__(self) -> int:
        return len(self.whole)

    def part(self, chosen: Sequence[int]) -> Seen:
        """Return some of the rows."""
        return Seen(
            encoded=self.encoded[chosen],
            bins=self.bins[chosen],
            whole=[self.whole[row] for row in chosen],
            bands=[self.bands[row] for row in chosen],
            labels=self.labels[chosen],
            alone=self.alone[chosen],
        )


class Scale:
    """The card's thresholds, and how to put rows into bins by them."""

    def __init__(self, ruler: Ruler, key: bytes = b"") -> None:
        known: Reference = ruler.reference
        self._ruler, self._key = ruler, key
        self.width, self.plain = ruler.width, ruler.plain
        least, less, usual, _, most, almost, _ = known.strange
        # Beyond what almost no row of the table reached when it was held out.
        self._strange = (most, almost, almost + (almost - usual))
        self._tame, self._slant = (least, less), known.slant
        columns = len(known.bins)
        self._outer = tuple(share * columns + 1e-6 for share in known.outer[2:4])
        self._inner = tuple(share * columns + 1e-6 for share in known.inner[2:4])
        self._mean = np.array(known.mean)
        self._margins = None if known.margins is None else known.margins[0:3:2]
        self._near = known.near[0:3:2]
        # A row that differs from its nearest in so few columns is a variation of it.
        few = min(known.changed * 0.5, 0.34) if known.changed > 0 and self.plain else 0.0
        self._few = few * self.width
        self._apart, self._deciles = np.array(known.apart), known.apart
        self.prints_tell = known.collides < 0.02

    def look(self, rows: Any, margins: Numbers | None, labels: Numbers) -> Seen:
        """Measure a batch; ``margins`` is the lead of the best answer, None where unknown."""
        ruler = self._ruler
        encoded = ruler.encode(rows)
        bins = ruler.bins(rows, encoded)
        return Seen(
            encoded=encoded,
            bins=bins,
            whole=digests(rows, self._key),
            bands=ruler.prints.bands(encoded).tolist(),
            labels=np.minimum(labels, len(self._deciles) - 1),
            alone=(self._alone_one if len(encoded) == 1 else self._alone)(encoded, bins, margins),
        )

    def _alone_one(self, encoded: Numbers, bins: Numbers, margins: Numbers | None) -> Numbers:
        strange, slant = self._ruler.strange_one(encoded[0])
        held = bins.tobytes()
        inner = bisect_left(self._inner, held.count(3) + held.count(4))
        found = [
            bisect_left(self._strange, strange),
            bisect_left(self._outer, held.count(0) + held.count(7)),
            max(2 - bisect_right(self._tame, strange), inner),
            *_NOTHING,
        ]
        if margins is not None and self._margins is not None:
            found[BOUNDARY] = 2 - bisect_left(self._margins, float(margins[0]))
        if self._slant is not None:
            found[SLANT] = bisect_left(self._slant, slant)
        return np.array((found,), dtype=np.int8)

    def _alone(self, encoded: Numbers, bins: Numbers, margins: Numbers | None) -> Numbers:
        strange, slant = self._ruler.strangeness(encoded)
        ends = np.add.reduce(_WORTH.take(bins), axis=1)
        found = np.full((len(encoded), len(TESTS)), -1, dtype=np.int8)
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

    def judge(self, seen: Seen, memory: Memory) -> Numbers:
        """Return (new rows, tests) bins, -1 where a test says nothing; ``memory`` learns them.

        At most CHUNK rows.
        """
        if len(seen) == 1:
            return self._judge_one(seen, memory)
        fresh = [row for row, mark in enumerate(seen.whole) if memory.is_new(mark)]
        if not fresh:
            return seen.alone[:0]
        seen = seen if len(fresh) == len(seen) else seen.part(fresh)
        found, centre = seen.alone.copy(), memory.centre(self.width)
        odd = (found[:, MANIFOLD] > 0) | (found[:, SLANT] > 0)
        if centre is not None and odd.any():
            # That is drift: a sensor, a season. An attacker's rows are odd in all directions.
            strange, slant = self._ruler.strangeness(seen.encoded[odd], centre)
            _lower(found, MANIFOLD, odd, np.searchsorted(self._strange, strange))
            if self._slant is not None:
                _lower(found, SLANT, odd, np.searchsorted(self._slant, slant))
        self._compare(seen, memory, found)
        memory.keep(seen.encoded, seen.labels, seen.bins)
        return found

    def _judge_one(self, seen: Seen, memory: Memory) -> Numbers:
        if not memory.is_new(seen.whole[0]):
            return seen.alone[:0]
        found = seen.alone[0].tolist()
        if found[MANIFOLD] > 0 or found[SLANT] > 0:
            centre = memory.centre(self.width)
            if centre is not None:
                strange, slant = self._ruler.strange_one(seen.encoded[0], centre)
                found[MANIFOLD] = min(found[MANIFOLD], bisect_left(self._strange, strange))
                found[SLANT] = min(found[SLANT], bisect_left(self._slant or (), slant))
        self._compare_one(seen, memory, found)
        memory.keep(seen.encoded, seen.labels, seen.bins)
        return np.array((found,), dtype=np.int8)

    def _compare_one(self, seen: Seen, memory: Memory, found: list[int]) -> None:
        """Fill in what one row is beside those before it."""
        label = int(seen.labels[0])
        met = memory.meets(seen.bands[0])
        if self.prints_tell:
            found[PRINTS] = met
        known, answers = memory.recent(self.width)
        if not len(known):
            return
        apart = known - seen.encoded.astype(np.float32)
        squares = np.einsum("ij,ij->i", apart, apart)
        place = int(squares.argmin())
        gap = math.sqrt(squares[place])
        close = 2 - bisect_left(self._near, gap)
        if close < 1 and self._few and _moved(apart[place]) <= self._few:
            close = 1
        flips = memory.each_label[place] != label
        found[NEAR], found[CHAIN] = close, int(close > 0 and flips)
        if flips:
            alike = squares[answers == label]
            if not len(alike):
                return
            gap = math.sqrt(np.minimum.reduce(alike))
        found[SPACING] = bisect_left(self._deciles[label], gap)

    def _compare(self, seen: Seen, memory: Memory, found: Numbers) -> None:
        """Do the same for a batch; a row is beside rows before it, its own batch included."""
        met = [memory.meets(bands) for bands in seen.bands]
        if self.prints_tell:
            found[:, PRINTS] = met
        known, answers = memory.recent(self.width)
        many, here, lines = len(known), len(seen), _LINES[: len(seen)]
        # In double precision: the difference of two squares is what near rows have left of it.
        rows = seen.encoded.astype(np.float32).astype(np.float64)
        known = np.concatenate([known, rows])
        answers = np.concatenate([answers, seen.labels])
        lengths = np.einsum("ij,ij->i", known, known)
        squares = rows @ known.T
        squares *= -2.0
        squares += lengths
        squares += lengths[many:, None]
        squares[:, many:][_ABOVE[:here, :here]] = np.inf
        self._forget(squares, many, int(memory.slot["kept"]))
        place = squares.argmin(axis=1)
        told = np.isfinite(squares[lines, place])
        apart = rows - known[place]
        gaps = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        close = 2 - np.searchsorted(self._near, gaps)
        if self._few:
            close[(_moved(apart, axis=1) <= self._few) & (close < 1)] = 1
        flips = answers[place] != seen.labels
        found[:, NEAR] = np.where(told, close, -1)
        found[:, CHAIN] = np.where(told, (close > 0) & flips, -1)
        squares[answers != seen.labels[:, None]] = np.inf
        alike = np.minimum.reduce(squares, axis=1)
        told = np.isfinite(alike)
        alike = np.sqrt(np.maximum(alike, 0.0))
        spacing = np.add.reduce(alike[:, None] > self._apart[seen.labels], axis=1)
        found[:, SPACING] = np.where(told, spacing, -1)

    @staticmethod
    def _forget(squares: Numbers, many: int, kept: int) -> None:
        """Leave out rows of the ring that earlier rows of the batch have taken the place of."""
        taken = (_LATE < len(squares)) & (_LATE - _GONE > RING - many)
        oldest = kept if many == RING else 0
        squares[_LATE[taken], (oldest + _GONE[taken]) % RING] = np.inf


def _moved(apart: Numbers, axis: int | None = None) -> Any:
    return np.count_nonzero(np.abs(apart) > _SAME, axis=axis)


def _lower(found: Numbers, test: int, rows: Numbers, bins: Numbers) -> None:
    found[rows, test] = np.minimum(found[rows, test], bins)


def digests(rows: Any, key: bytes) -> list[int]:
    """Return 64 bits of each row as it was sent, columns that are not compared included.

    Keyed, so that nobody can make rows that pass for one another and are not judged.
    """
    if isinstance(rows, np.ndarray) and rows.dtype == np.float64:
        texts: list[bytes] = [row.tobytes() for row in rows]
    else:
        table = rows if isinstance(rows, np.ndarray) else rows.to_numpy(dtype=object)
        texts = [repr(row.tolist()).encode() for row in table]
    made = (blake2b(text, digest_size=8, key=key).digest() for text in texts)
    return [int.from_bytes(digest, "little") | 1 for digest in made]


def bare(rows: Any, key: bytes) -> Seen:
    """Return a batch of which only the digests are known: for a budget, nothing else."""
    nothing, none = np.zeros((len(rows), 0)), np.zeros(len(rows), dtype=np.intp)
    whole = digests(rows, key)
    return Seen(nothing, nothing, whole, [[] for _ in whole], none, nothing)
