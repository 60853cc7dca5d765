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
TESTS, BINS = 8, 10
_FORGET, _LEAST = 0.98, 30  # a row; rows before there is a mean

SLOT = np.dtype(
    [
        ("key", "<u8"),
        ("name", "S128"),
        ("seen", "<f8"),  # when a row last came, seconds since the epoch
        ("since", "<f8"),  # when the level last changed
        ("window", "<f8"),  # when the budget's window began
        ("spent", "<u8"),  # new rows in that window
        ("rows", "<u8"),
        ("new", "<u8"),
        ("due", "<u8"),  # the count of new rows before which the level does not rise
        ("kept", "<u8"),
        ("level", "<i4"),
        ("steps", "<f8", (TESTS, BINS + 1)),  # what a row in each bin adds at present
        ("judged", "<u8"),
        ("columns", "<i4"),  # how many numbers the bitmap speaks of
        ("until", "<f8"),  # before which a throttled party is not answered
        ("members", "<u8"),  # a bit for each client, of 64: are there several?
        ("sums", "<f8", (TESTS,)),
        ("counts", "<u4", (TESTS, BINS + 1)),  # rows by bin; the last is for no word
        ("lately", "<f4", (TESTS, BINS + 1)),  # the same, older rows weighing less
        ("mean", "<f4", (WIDTH,)),  # of rows lately
        ("ring", "<f4", (RING, WIDTH)),
        ("labels", "<i4", (RING,)),
        ("prints", "<u4", (BANDS, _PRINTS)),
        ("whole", "<u8", (_SETS, _WAYS)),
        ("bitmap", "u1", (WIDTH,)),
    ]
)

Numbers = np.ndarray[Any, Any]
_LANES = np.arange(BANDS)
_BITS = np.left_shift(1, np.arange(8)).astype(np.uint8)


class Memory:
    """One slot in use; a view, so that what is written here is written there."""

    def __init__(self, slot: Any) -> None:
        self.slot = slot

    def new_among(self, whole: Numbers) -> Numbers:
        """Tell which rows were not sent before, and remember them all."""
        table = self.slot["whole"]
        fresh = np.ones(len(whole), dtype=bool)
        for row, mark in enumerate(whole.tolist()):
            line = table[(mark >> 20) % _SETS]
            known = line.tolist()
            if mark in known:
                fresh[row] = False
            else:
                line[:] = [mark, *known[:-1]]  # the oldest of its set is forgotten
        return fresh

    def meets(self, bands: Numbers) -> Numbers:
        """Tell which rows share a fingerprint with a row before them, and remember all prints."""
        table, places = self.slot["prints"], bands & np.uint32(_PRINTS - 1)
        found: Numbers = (table[_LANES, places] == bands).any(axis=1)
        if len(bands) > 1:
            same = (bands[:, None] == bands[None]).any(axis=2)
            found |= np.tril(same, -1).any(axis=1)
        table[_LANES, places] = bands
        return found

    def recent(self, width: int) -> tuple[Numbers, Numbers]:
        """Return the rows last kept, oldest or newest first, and their answers."""
        many = min(int(self.slot["kept"]), RING)
        return self.slot["ring"][:many, :width], self.slot["labels"][:many]

    def centre(self, width: int) -> Numbers | None:
        """Return the mean of the rows that came lately; None before there are enough for one."""
        return self.slot["mean"][:width] if self.slot["kept"] >= _LEAST else None

    def keep(self, encoded: Numbers, labels: Numbers, bins: Numbers) -> None:
        """Remember rows for those that come, in place of the oldest."""
        slot, kept, many = self.slot, int(self.slot["kept"]), len(encoded)
        width, columns = encoded.shape[1], min(bins.shape[1], WIDTH)
        place: Any = kept % RING if many == 1 else (kept + np.arange(many)) % RING
        slot["ring"][place, :width] = encoded[0] if many == 1 else encoded
        slot["labels"][place] = labels[0] if many == 1 else labels
        slot["kept"] = kept + many
        mean = slot["mean"][:width]
        middle = encoded[0] if many == 1 else encoded.mean(axis=0)
        mean += (middle - mean) * max(many / (kept + many), 1.0 - _FORGET**many)
        marks = _BITS[bins[:, :columns]]
        slot["columns"] = columns
        slot["bitmap"][:columns] |= marks[0] if many == 1 else np.bitwise_or.reduce(marks, axis=0)

    def coverage(self) -> float:
        """Return the share of quantile bins that rows have been in, over all columns in use."""
        used = self.slot["bitmap"][: int(self.slot["columns"])]
        return float(np.unpackbits(used).mean()) if used.size else 0.0
