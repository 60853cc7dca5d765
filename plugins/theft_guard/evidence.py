"""How a client's rows differ from usual rows: for each row one bin in each of eight tests.

All tests are questions with a known answer for customers, because the signed card has
measured it: at most the shares in ``USUAL`` of their rows fall into the suspicious bins, with
room to spare for customers whose rows are not a fair sample. A row sent twice teaches nothing
and is not judged at all.

Sources: Mahalanobis; HODA (Sadeghzadeh et al., arXiv 2106.11424) for ``boundary``; stateful
detection (Chen, Carlini, Wagner 2019) for ``near``; Blacklight (Li et al., USENIX Security
2022) for ``prints``; PRADA (Juuti et al., arXiv 1805.02628) for ``spacing``, calibrated on the
card instead of assumed normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from .memory import Memory

Numbers = np.ndarray[Any, Any]

TESTS = ("manifold", "edges", "middle", "boundary", "near", "chain", "prints", "spacing")
REASONS = {
    "manifold": "columns combined as no real row combines them",
    "edges": "values at the ends of many columns at once",
    "middle": "rows nearer to the middle than real rows are",
    "boundary": "answers the model is least sure of",
    "near": "rows very near to rows just sent",
    "chain": "small steps that change the answer",
    "prints": "variations of rows sent earlier",
    "spacing": "distances to rows answered alike that real rows do not have",
}
CHUNK = 16  # rows compared at once: more would not fit the processor's cache
_ABOVE, _LINES = np.triu(np.ones((CHUNK, CHUNK), dtype=bool)), np.arange(CHUNK)


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


class Ruler(Protocol):
    """Measures rows by the card."""

    reference: Any  # a Reference, which a protocol with tuples in it would not match
    prints: Any
    width: int
    plain: bool

    def encode(self, rows: Any) -> Numbers: ...
    def strangeness(self, encoded: Numbers) -> Numbers: ...
    def bins(self, rows: Any, encoded: Numbers) -> Numbers: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch is by itself: the same whoever sent it. One entry a row."""

    encoded: Numbers
    bins: Numbers
    whole: Numbers
    bands: Numbers
    labels: Numbers
    manifold: Numbers
    edges: Numbers
    middle: Numbers
    boundary: Numbers

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
        self._outer = np.array([known.outer[2], known.outer[3]]) + 1e-9
        self._inner = np.array([known.inner[2], known.inner[3]]) + 1e-9
        self._mean = np.array(known.mean)
        self._tame = np.array([less, least])
        self._margins = None if known.margins is None else np.array(known.margins)[[0, 2]]
        self._near = np.array(known.near)[[0, 2]]
        # A row that differs from its nearest in so few columns is a variation of it.
        self._few = min(known.changed * 0.5, 0.34) if known.changed > 0 else 0.0
        self._apart = np.array(known.apart)
        self.prints_tell = known.collides < 0.02

    def look(self, rows: Any, margins: Numbers | None, labels: Numbers) -> Seen:
        """Measure a batch; ``margins`` is the lead of the best answer, None where unknown."""
        ruler = self._ruler
        encoded = ruler.encode(rows)
        strange, bins = ruler.strangeness(encoded)[:, None], ruler.bins(rows, encoded)
        if margins is None or self._margins is None:
            boundary = np.full(len(encoded), -1)
        else:
            boundary = 2 - (margins[:, None] > self._margins).sum(axis=1)
        tame = (strange < self._tame).sum(axis=1)
        return Seen(
            encoded=encoded,
            bins=bins,
            whole=digests(rows, self._key),
            bands=ruler.prints.bands(encoded),
            labels=np.minimum(labels, len(self._apart) - 1),
            manifold=(strange > self._strange).sum(axis=1),
            edges=(_share((bins == 0) | (bins == 7)) > self._outer).sum(axis=1),
            middle=np.maximum(tame, (_share((bins == 3) | (bins == 4)) > self._inner).sum(axis=1)),
            boundary=boundary,
        )

    def judge(self, seen: Seen, memory: Memory) -> Numbers:
        """Return (new rows, tests) bins, -1 where a test says nothing; ``memory`` learns them.

        At most CHUNK rows.
        """
        fresh = memory.new_among(seen.whole)
        if not fresh.all():
            seen = seen.part(fresh)
        found = np.full((len(seen), len(TESTS)), -1, dtype=np.int8)
        if not len(seen):
            return found
        met = memory.meets(seen.bands)
        gaps, few, flips, alike = self._compare(seen, memory)
        found[:, 0], found[:, 1] = self._moved(seen, memory), seen.edges
        found[:, 2], found[:, 3] = seen.middle, seen.boundary
        close = 2 - (gaps[:, None] > self._near).sum(axis=1)
        close[few & (close < 1)] = 1
        known = np.isfinite(gaps)
        found[:, 4] = np.where(known, close, -1)
        found[:, 5] = np.where(known, (close > 0) & flips, -1)
        if self.prints_tell:
            found[:, 6] = met
        spacing = (alike[:, None] > self._apart[seen.labels]).sum(axis=1)
        found[:, 7] = np.where(np.isfinite(alike), spacing, -1)
        memory.keep(seen.encoded, seen.labels, seen.bins)
        return found

    def _moved(self, seen: Seen, memory: Memory) -> Numbers:
        """Return the bins of `manifold`, for a party whose rows have all moved one way.

        That is drift: a sensor, a season. An attacker's rows are strange in all directions.
        """
        centre = memory.centre(self.width)
        odd = seen.manifold > 0
        if centre is None or not odd.any():
            return seen.manifold
        strange = self._ruler.strangeness(seen.encoded[odd] - centre + self._mean)
        found = seen.manifold.copy()
        found[odd] = np.minimum(found[odd], (strange[:, None] > self._strange).sum(axis=1))
        return found

    def _compare(self, seen: Seen, memory: Memory) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return the nearest distance, few columns changed, another answer, nearest alike."""
        rows = seen.encoded.astype(np.float32)
        known, answers = memory.recent(self.width)
        many, here = len(known), len(rows)
        if here > 1 or not many:
            known, answers = np.concatenate([known, rows]), np.concatenate([answers, seen.labels])
        apart = known - rows[:, None, :]
        squares = np.einsum("ijk,ijk->ij", apart, apart)
        if here > 1 or not many:
            # A row is compared with rows before it, in the ring and in its own batch.
            squares[:, many:][_ABOVE[:here, :here]] = np.inf
        lines = _LINES[:here]
        place = squares.argmin(axis=1)
        gaps = np.sqrt(squares[lines, place])
        if self.plain and self._few:
            moved = np.abs(apart[lines, place]) > 1e-6
            few = np.count_nonzero(moved, axis=1) <= self._few * self.width
        else:
            few = np.zeros(here, dtype=bool)
        flips = answers[place] != seen.labels
        squares[answers != seen.labels[:, None]] = np.inf
        return gaps, few, flips, np.sqrt(squares.min(axis=1))


def _share(held: Numbers) -> Numbers:
    found: Numbers = np.count_nonzero(held, axis=1, keepdims=True) / max(held.shape[1], 1)
    return found


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
    return Seen(nothing, nothing, digests(rows, key), nothing, none, none, none, none, none)
