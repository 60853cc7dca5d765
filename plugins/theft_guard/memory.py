"""What is remembered of one watched party: fixed in size, whatever it sends.

A slot is one record of a table that all workers share, see `shared`. Whoever changes one holds
its lock. A worker that dies halfway leaves counters that are a row off, and nothing worse:
every place read from a slot is bounded before it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RING, WIDTH, BANDS = 128, 64, 4
_PRINTS, _SETS, _WAYS = 1024, 1024, 4
TESTS, BINS = 10, 10
_FORGET, _LEAST = 0.98, 30  # a row; rows before there is a mean

# Eight-byte fields first: what lies where the processor wants it is read without a copy.
SLOT = np.dtype(
    [
        ("key", "<u8"),
        ("name", "S128"),
        ("seen", "<f8"),  # when a row last came, seconds since the epoch
        ("since", "<f8"),  # when the level last changed
        ("window", "<f8"),  # when the budget's window began
        ("until", "<f8"),  # before which a throttled party is not answered
        ("spent", "<u8"),  # new rows in that window
        ("rows", "<u8"),
        ("new", "<u8"),
        ("due", "<u8"),  # the count of new rows before which the level does not rise
        ("kept", "<u8"),
        ("judged", "<u8"),
        ("members", "<u8"),  # a bit for each client, of 64: are there several?
        ("level", "<i4"),
        ("columns", "<i4"),  # how many numbers the bitmap speaks of
        ("steps", "<f8", (TESTS, BINS + 1)),  # what a row in each bin adds at present
        ("sums", "<f8", (TESTS,)),
        ("whole", "<u8", (_SETS, _WAYS)),
        ("prints", "<u4", (BANDS, _PRINTS)),
        ("ring", "<f4", (RING, WIDTH)),
        ("mean", "<f4", (WIDTH,)),  # of rows lately
        ("labels", "<i4", (RING,)),
        ("counts", "<u4", (TESTS, BINS + 1)),  # rows by bin; the last is for no word
        ("lately", "<f4", (TESTS, BINS + 1)),  # the same, older rows weighing less
        ("bitmap", "u1", (WIDTH,)),
    ],
    align=True,
)

_SINGLE = (
    "key", "seen", "since", "window", "until", "spent", "rows", "new", "due", "kept", "judged",
    "members", "level", "columns",
)  # fmt: skip
Numbers = np.ndarray[Any, Any]
_BITS = np.left_shift(1, np.arange(8)).astype(np.uint8)


class Memory:
    """One slot in use; views, so that what is written here is written there.

    ``one`` and the views named ``each_...`` are for single numbers: Python reads and writes one
    in a tenth of the time that NumPy takes. Making them all costs as much as judging a row, so
    a `Memory` is kept as long as its slot is mapped.
    """

    def __init__(self, slots: Any) -> None:
        """Take a part of the table that is one slot long."""
        self.slot = slot = slots[0]
        self.one: dict[str, Any] = {name: memoryview(slots[name]) for name in _SINGLE}
        self.ring, self.mean, self.bitmap = slot["ring"], slot["mean"], slot["bitmap"]
        self.labels, self.fingerprints, self.steps = slot["labels"], slot["prints"], slot["steps"]
        self.lately, self.counts = slot["lately"], slot["counts"]
        self.each_label: Any = memoryview(self.labels)
        self.each_print: Any = memoryview(self.fingerprints)
        self.each_whole: Any = memoryview(slot["whole"])
        self.each_step: Any = memoryview(self.steps)
        self.each_sum: Any = memoryview(slot["sums"])
        self.each_count: Any = memoryview(self.counts)
        self.each_lately: Any = memoryview(self.lately)

    def is_new(self, mark: int) -> bool:
        """Tell whether a row was not sent before, and remember it."""
        table, line = self.each_whole, (mark >> 20) % _SETS
        known = [table[line, way] for way in range(_WAYS)]
        if mark in known:
            return False
        for way, old in enumerate((mark, *known[:-1])):  # the oldest of its set is forgotten
            table[line, way] = old
        return True

    def meets(self, bands: list[int]) -> bool:
        """Tell whether a row shares a fingerprint with one before it, and remember its prints."""
        table, found = self.each_print, False
        for lane, mark in enumerate(bands):
            place = mark & (_PRINTS - 1)
            found = found or table[lane, place] == mark
            table[lane, place] = mark
        return found

    def recent(self, width: int) -> tuple[Numbers, Numbers]:
        """Return the rows last kept, oldest or newest first, and their answers."""
        many = min(self.one["kept"][0], RING)
        return self.ring[:many, :width], self.labels[:many]

    def centre(self, width: int) -> Numbers | None:
        """Return the mean of the rows that came lately; None before there are enough for one."""
        return self.mean[:width] if self.one["kept"][0] >= _LEAST else None

    def keep(self, encoded: Numbers, labels: Numbers, bins: Numbers) -> None:
        """Remember rows for those that come, in place of the oldest."""
        kept, many = self.one["kept"][0], len(encoded)
        width = encoded.shape[1]
        mean = self.mean[:width]
        if many == 1:
            middle = encoded[0]
            self.ring[kept % RING, :width] = middle
            self.each_label[kept % RING] = int(labels[0])
            weight = max(1 / (kept + 1), 1.0 - _FORGET)
        else:
            middle = encoded.mean(axis=0)
            place = (kept + np.arange(many)) % RING
            self.ring[place, :width], self.labels[place] = encoded, labels
            weight = max(many / (kept + many), 1.0 - _FORGET**many)
        self.one["kept"][0] = kept + many
        mean += (middle - mean) * weight
        self._mark(bins[:, :WIDTH])

    def _mark(self, bins: Numbers) -> None:
        many, columns = bins.shape
        marks = _BITS.take(bins)
        self.one["columns"][0] = columns
        seen = self.bitmap[:columns]
        np.bitwise_or(seen, marks[0] if many == 1 else np.bitwise_or.reduce(marks), out=seen)


def coverage(slot: Any) -> float:
    """Return the share of quantile bins that rows have been in, over all columns in use."""
    used = slot["bitmap"][: int(slot["columns"])]
    return float(np.unpackbits(used).mean()) if used.size else 0.0
