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

from bisect import bisect_left
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
    def bins(self, rows: Any, encoded: Numbers) -> Numbers: ...


@dataclass(slots=True)
class Seen:
    """What a batch is by itself: the same whoever sent it. One entry a row."""

    encoded: Numbers
    bins: Numbers
    whole: Numbers
    bands: Numbers
    labels: Numbers
    alone: Numbers  # (rows, tests): bins of the tests that look at a row by itself

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: Any) -> Seen:
        """Return some of the rows."""
        return Seen(*(getattr(self, name)[chosen] for name in Seen.__slots__))


class Scale:
    """The card's thresholds, and how to put rows into bins by them."""

    def __init__(self, ruler: Ruler, key: bytes = b"") -> None:
        known: Reference = ruler.reference
        self._ruler, self._key = ruler, key
        self.width, self.plain = ruler.width, ruler.plain
        least, less, usual, _, most, almost, _ = known.strange
        # Beyond what almost no row of the table reached when it was held out.
        self._strange = np.array([most, almost, almost + (almost - usual)])
        self._tame = np.array([least, less])
        self._slant = None if known.slant is None else np.array(known.slant)
        columns = len(known.bins)
        self._outer = np.array([known.outer[2], known.outer[3]]) * columns + 1e-6
        self._inner = np.array([known.inner[2], known.inner[3]]) * columns + 1e-6
        self._mean = np.array(known.mean)
        self._margins = None if known.margins is None else np.array(known.margins)[[0, 2]]
        self._near = (known.near[0], known.near[2])
        # A row that differs from its nearest in so few columns is a variation of it.
        few = min(known.changed * 0.5, 0.34) if known.changed > 0 and self.plain else 0.0
        self._few = few * self.width
        self._apart, self._deciles = np.array(known.apart), known.apart
        self.prints_tell = known.collides < 0.02

    def look(self, rows: Any, margins: Numbers | None, labels: Numbers) -> Seen:
        """Measure a batch; ``margins`` is the lead of the best answer, None where unknown."""
        ruler = self._ruler
        encoded = ruler.encode(rows)
        strange, slant = ruler.strangeness(encoded)
        bins = ruler.bins(rows, encoded)
        ends = np.add.reduce(_WORTH.take(bins), axis=1)
        alone = np.full((len(encoded), len(TESTS)), -1, dtype=np.int8)
        alone[:, MANIFOLD] = self._strange.searchsorted(strange)
        alone[:, EDGES] = self._outer.searchsorted(ends & 0xFFFF)
        alone[:, MIDDLE] = np.maximum(
            2 - self._tame.searchsorted(strange, "right"), self._inner.searchsorted(ends >> 16)
        )
        if margins is not None and self._margins is not None:
            alone[:, BOUNDARY] = 2 - self._margins.searchsorted(margins)
        if self._slant is not None:
            alone[:, SLANT] = self._slant.searchsorted(slant)
        return Seen(
            encoded=encoded,
            bins=bins,
            whole=digests(rows, self._key),
            bands=ruler.prints.bands(encoded),
            labels=np.minimum(labels, len(self._apart) - 1),
            alone=alone,
        )

    def judge(self, seen: Seen, memory: Memory) -> Numbers:
        """Return (new rows, tests) bins, -1 where a test says nothing; ``memory`` learns them.

        At most CHUNK rows.
        """
        if len(seen) > 1:
            fresh = memory.new_among(seen.whole)
            seen = seen if fresh.all() else seen.part(fresh)
        elif not memory.is_new(int(seen.whole[0])):
            return seen.alone[:0]
        if not len(seen):
            return seen.alone
        found = self._settled(seen, memory)
        if len(seen) == 1:
            self._compare_one(seen, memory, found[0])
        else:
            self._compare(seen, memory, found)
        memory.keep(seen.encoded, seen.labels, seen.bins)
        return found

    def _settled(self, seen: Seen, memory: Memory) -> Numbers:
        """Return the bins of tests by themselves, for a party whose rows have all moved one way.

        That is drift: a sensor, a season. An attacker's rows are strange in all directions.
        """
        found, centre = seen.alone.copy(), memory.centre(self.width)
        if centre is None:
            return found
        odd = (found[:, MANIFOLD] > 0) | (found[:, SLANT] > 0)
        if not odd.any():
            return found
        strange, slant = self._ruler.strangeness(seen.encoded[odd], centre)
        for test, edges, value in ((MANIFOLD, self._strange, strange), (SLANT, self._slant, slant)):
            if edges is not None:
                found[odd, test] = np.minimum(found[odd, test], edges.searchsorted(value))
        return found

    def _compare_one(self, seen: Seen, memory: Memory, found: Numbers) -> None:
        """Fill in what one row is beside those before it."""
        label = int(seen.labels[0])
        met = memory.meets_one(seen.bands[0].tolist())
        if self.prints_tell:
            found[PRINTS] = met
        known, answers = memory.recent(self.width)
        if not len(known):
            return
        apart = known - seen.encoded.astype(np.float32)
        squares = np.einsum("ij,ij->i", apart, apart)
        place = int(squares.argmin())
        gap = float(squares[place]) ** 0.5
        close = 2 - bisect_left(self._near, gap)
        if close < 1 and self._few and _moved(apart[place]) <= self._few:
            close = 1
        flips = memory.each_label[place] != label
        found[NEAR], found[CHAIN] = close, close > 0 and flips
        if flips:
            alike = squares[answers == label]
            gap = float(np.minimum.reduce(alike)) ** 0.5 if len(alike) else -1.0
        if gap >= 0:
            found[SPACING] = bisect_left(self._deciles[label], gap)

    def _compare(self, seen: Seen, memory: Memory, found: Numbers) -> None:
        """Do the same for a batch; a row is beside rows before it, its own batch included."""
        met = memory.meets(seen.bands)
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
            close[(_moved(apart) <= self._few) & (close < 1)] = 1
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


def _moved(apart: Numbers) -> Any:
    return np.add.reduce(np.abs(apart) > _SAME, axis=-1)


def digests(rows: Any, key: bytes) -> Numbers:
    """Return 64 bits of each row as it was sent, columns that are not compared included.

    Keyed, so that nobody can make rows that pass for one another and are not judged.
    """
    if isinstance(rows, np.ndarray) and rows.dtype == np.float64:
        texts = [row.tobytes() for row in rows]
    else:
        table = rows if isinstance(rows, np.ndarray) else rows.to_numpy(dtype=object)
        texts = [repr(row.tolist()).encode() for row in table]
    made = b"".join(blake2b(text, digest_size=8, key=key).digest() for text in texts)
    return np.frombuffer(made, dtype="<u8") | np.uint64(1)


def bare(rows: Any, key: bytes) -> Seen:
    """Return a batch of which only the digests are known: for a budget, nothing else."""
    nothing = np.zeros((len(rows), 0))
    none = np.zeros(len(rows), dtype=np.intp)
    return Seen(nothing, nothing, digests(rows, key), nothing, none, nothing)
