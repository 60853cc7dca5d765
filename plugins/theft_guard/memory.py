"""What is remembered of one watched party: fixed in size, whatever it sends.

A slot is one record of a table that all workers share, see `shared`. Whoever changes one holds
its lock. A worker that dies halfway leaves counters that are a row off, and nothing worse:
every place read from a slot is bounded before it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RING, WIDTH, BANDS = 128, 64, 4
_PRINTS, _SETS, _WAYS = 1024, 512, 4
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
        ("columns", "<i4"),  # how many numbers the bitmap speaks of
        ("until", "<f8"),  # before which a throttled party is not answered
        ("members", "<u8"),  # a bit for each client, of 64: are there several?
        ("sums", "<f8", (TESTS,)),
        ("counts", "<u4", (TESTS, BINS)),
        ("lately", "<f4", (TESTS, BINS)),  # the same, older rows weighing less
        ("mean", "<f4", (WIDTH,)),  # of rows lately
        ("ring", "<f4", (RING, WIDTH)),
        ("labels", "<i4", (RING,)),
        ("prints", "<u4", (BANDS, _PRINTS)),
        ("whole", "<u8", (_SETS, _WAYS)),
        ("bitmap", "u1", (WIDTH,)),
    ]
)

Numbers = np.ndarray[Any, Any]


class Memory:
    """One slot in use; a view, so that what is written here is written there."""

    def __init__(self, slot: Any) -> None:
        self.slot = slot

    def new_among(self, whole: Numbers) -> Numbers:
        """Tell which rows were not sent before, and remember them all."""
        table = self.slot["whole"]
        sets = (whole >> np.uint64(20)) % np.uint64(_SETS)
        fresh: Numbers = (table[sets] != whole[:, None]).all(axis=1)
        if len(whole) > 1 and fresh.any():
            first = np.zeros(len(whole), dtype=bool)
            first[np.unique(whole, return_index=True)[1]] = True
            fresh &= first
        for place, mark in zip(sets[fresh].tolist(), whole[fresh], strict=True):
            line = table[place]
            line[1:] = line[:-1].copy()  # the oldest of its set is forgotten
            line[0] = mark
        return fresh

    def meets(self, bands: Numbers) -> Numbers:
        """Tell which rows share a fingerprint with a row before them, and remember all prints."""
        table, places = self.slot["prints"], bands % np.uint32(_PRINTS)
        lanes = np.arange(BANDS)
        found: Numbers = (table[lanes, places] == bands).any(axis=1)
        if len(bands) > 1:
            same = (bands[:, None] == bands[None]).any(axis=2)
            found |= np.tril(same, -1).any(axis=1)
        table[lanes, places] = bands
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
        slot, kept = self.slot, int(self.slot["kept"])
        places = (kept + np.arange(len(encoded))) % RING
        slot["ring"][places, : encoded.shape[1]] = encoded
        slot["labels"][places] = labels
        slot["kept"] = kept + len(encoded)
        mean = slot["mean"][: encoded.shape[1]]
        mean += (encoded.mean(axis=0) - mean) * max(
            1.0 / slot["kept"], 1.0 - _FORGET ** len(encoded)
        )
        columns = min(bins.shape[1], WIDTH)
        marks = np.left_shift(1, bins[:, :columns], dtype=np.int64).astype(np.uint8)
        slot["columns"] = columns
        slot["bitmap"][:columns] |= np.bitwise_or.reduce(marks, axis=0)

    def coverage(self) -> float:
        """Return the share of quantile bins that rows have been in, over all columns in use."""
        used = self.slot["bitmap"][: int(self.slot["columns"])]
        return float(np.unpackbits(used).mean()) if used.size else 0.0
