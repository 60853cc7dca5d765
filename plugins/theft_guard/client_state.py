"""What is remembered of one subject: a record of fixed size, whatever it sends.

All workers share the record, see `shared_table`. Whoever changes one holds its lock. A worker
that dies halfway leaves numbers that are a row off, and a damaged file any numbers at all:
every index and level read from a record is bounded before it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .detectors import BINS, DETECTORS

RING, WIDTH, BANDS = 128, 64, 4
_FINGERPRINTS, _SETS, _WAYS = 1024, 1024, 4
_DECAY, _MIN_ROWS = 0.98, 30  # a row; rows before there is a mean
_COUNT = len(DETECTORS)

# Eight-byte fields first: what lies where the processor wants it is read without a copy.
RECORD = np.dtype(
    [
        ("key", "<u8"),
        ("name", "S128"),
        ("last_seen", "<f8"),  # when a row last came, seconds since the epoch
        ("level_since", "<f8"),  # when the level last changed
        ("window_start", "<f8"),  # when the budget's window began
        ("throttled_until", "<f8"),  # before which a throttled subject is not answered
        ("spent", "<u8"),  # new rows in that window
        ("rows", "<u8"),
        ("new_rows", "<u8"),
        ("rise_after", "<u8"),  # the count of new rows before which the level does not rise
        ("kept", "<u8"),
        ("judged", "<u8"),
        ("members", "<u8"),  # a bit for each client, of 64: are there several?
        ("level", "<i4"),
        ("columns", "<i4"),  # how many bytes of the bitmap are in use
        ("increments", "<f8", (_COUNT, BINS + 1)),  # what a row in each bin adds to a sum now
        ("sums", "<f8", (_COUNT,)),
        ("row_digests", "<u8", (_SETS, _WAYS)),
        ("fingerprints", "<u4", (BANDS, _FINGERPRINTS)),
        ("ring", "<f4", (RING, WIDTH)),
        ("mean", "<f4", (WIDTH,)),  # of rows, older ones weighing less
        ("labels", "<i4", (RING,)),
        ("counts", "<u4", (_COUNT, BINS + 1)),  # rows by bin; the last is for none
        ("decayed", "<f4", (_COUNT, BINS + 1)),  # the same, older rows weighing less
        ("bitmap", "u1", (WIDTH,)),
    ],
    align=True,
)

_SCALARS = (
    "key", "last_seen", "level_since", "window_start", "throttled_until", "spent", "rows",
    "new_rows", "rise_after", "kept", "judged", "members", "level", "columns",
)  # fmt: skip
Numbers = np.ndarray[Any, Any]
_BITS = np.left_shift(1, np.arange(8)).astype(np.uint8)


class ClientState:
    """One record in use; views, so that what is written here is written there.

    ``values`` and the attributes named ``..._view`` are memoryviews for single numbers: Python
    reads and writes one in a tenth of the time that NumPy takes. Making them all costs as much
    as assessing a row, so a `ClientState` is kept as long as its record is mapped.
    """

    def __init__(self, records: Any) -> None:
        """Take a part of the table, (1,), that is one record long."""
        self.record = record = records[0]
        self.values: dict[str, Any] = {name: memoryview(records[name]) for name in _SCALARS}
        self.ring, self.mean, self.bitmap = record["ring"], record["mean"], record["bitmap"]
        self.labels, self.increments = record["labels"], record["increments"]
        self.decayed, self.counts = record["decayed"], record["counts"]
        self.label_view: Any = memoryview(self.labels)
        self.fingerprint_view: Any = memoryview(record["fingerprints"])
        self.digest_view: Any = memoryview(record["row_digests"])
        self.increment_view: Any = memoryview(self.increments)
        self.sum_view: Any = memoryview(record["sums"])
        self.count_view: Any = memoryview(self.counts)
        self.decayed_view: Any = memoryview(self.decayed)

    def is_new(self, digest: int) -> bool:
        """Tell whether a row was not sent before, and remember its digest of 64 bits."""
        table, line = self.digest_view, (digest >> 20) % _SETS
        known = [table[line, way] for way in range(_WAYS)]
        if digest in known:
            return False
        for way, old in enumerate((digest, *known[:-1])):  # the oldest of its set is forgotten
            table[line, way] = old
        return True

    def matches_fingerprint(self, bands: list[int]) -> bool:
        """Tell whether a row shares a fingerprint with one before it, and remember all of them.

        ``bands`` are its BANDS fingerprints of 32 bits (locality-sensitive hashes).
        """
        table, found = self.fingerprint_view, False
        for band, fingerprint in enumerate(bands):
            index = fingerprint & (_FINGERPRINTS - 1)
            found = found or table[band, index] == fingerprint
            table[band, index] = fingerprint
        return found

    def recent(self, width: int) -> tuple[Numbers, Numbers]:
        """Return the rows last kept, (n, width) in the ring's order, and their labels, (n,)."""
        count = min(self.values["kept"][0], RING)
        return self.ring[:count, :width], self.labels[:count]

    def centre(self, width: int) -> Numbers | None:
        """Return the mean of recent rows, (width,); None before there are enough for one.

        Also None where a damaged record holds no number: the distance from there is none.
        """
        mean = self.mean[:width]
        enough = self.values["kept"][0] >= _MIN_ROWS
        return mean if enough and math.isfinite(mean @ mean) else None

    def keep(self, rows: Numbers, labels: Numbers, bins: Numbers) -> None:
        """Remember rows, (n, width), their labels, (n,), and bins, (n, columns); the oldest go."""
        kept, count = self.values["kept"][0], len(rows)
        width = rows.shape[1]
        mean = self.mean[:width]
        if count == 1:
            centre = rows[0]
            self.ring[kept % RING, :width] = centre
            self.label_view[kept % RING] = int(labels[0])
            weight = max(1 / (kept + 1), 1.0 - _DECAY)
        else:
            centre = rows.mean(axis=0)
            index = (kept + np.arange(count)) % RING
            self.ring[index, :width], self.labels[index] = rows, labels
            weight = max(count / (kept + count), 1.0 - _DECAY**count)
        self.values["kept"][0] = kept + count
        mean += (centre - mean) * weight
        self._mark_bins(bins[:, :WIDTH])

    def _mark_bins(self, bins: Numbers) -> None:
        bits = _BITS.take(bins)
        columns = self.values["columns"][0] = bins.shape[1]
        used = self.bitmap[:columns]
        np.bitwise_or(used, bits[0] if len(bits) == 1 else np.bitwise_or.reduce(bits), out=used)


def coverage(record: Any) -> float:
    """Return the share, 0 to 1, of the quantile bins of all columns that rows were in."""
    used = record["bitmap"][: int(record["columns"])]
    return float(np.unpackbits(used).mean()) if used.size else 0.0
