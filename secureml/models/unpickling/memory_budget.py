"""How much memory reading one model file may take, and how much each opcode is counted for.

One byte of a pickle can make a set of 216 bytes, and a compressed file can hold a thousand
times its own size. So what is made is counted while it is made, against a bound that follows
from the size of the file as it lies on disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.artifact.version_files import ModelRefused

_BASE = 512 * 1024**2
_PER_BYTE = 32
_OBJECT = 64  # the least an object takes, with its place in a container
RANDOM_GENERATOR = 8192  # state, seed and lock of one; nothing else a pickle may call is as large
ITEM = _OBJECT  # one thing that is looked at: it may be there once, and be referred to often
FIELD = 256  # one field of a dtype: its place, its offset and its name
_COSTS = {
    b"(": 160,  # MARK
    b"\x94": 120,  # MEMOIZE
    b"p": 120,  # PUT
    b"q": 120,  # BINPUT
    b"r": 120,  # LONG_BINPUT
    b"\x8f": 224,  # EMPTY_SET
    b"\x91": 224,  # FROZENSET
    b"}": 80,  # EMPTY_DICT
    b"\x81": 512,  # NEWOBJ
    b"\x92": 512,  # NEWOBJ_EX
    b"R": 256,  # REDUCE
}
OPCODE_COSTS = tuple(_COSTS.get(bytes([opcode]), _OBJECT) for opcode in range(256))


def ceiling(file_size: int) -> int:
    """Return how many bytes of memory a file of so many bytes may come to."""
    return _BASE + _PER_BYTE * file_size


def size_of(values: Iterable[Any]) -> int:
    """Return how many bytes copies of plain values may take, by their lengths; looks inside none.

    One long list or array may be handed to many calls, and each call looks at it or copies it.
    """
    return sum(map(_size, values))


def _size(value: Any) -> int:
    kind = type(value)
    if kind in (bytes, bytearray, str):
        return len(value)
    if kind in (list, tuple, dict, set, frozenset):
        return ITEM * len(value)
    return value.nbytes if kind is np.ndarray else 0


@dataclass
class MemoryBudget:
    """What is left to spend while one file is read."""

    left: int

    def spend(self, size: int) -> None:
        """Count so many bytes; raises ModelRefused("format") when they are too many."""
        self.left -= size
        if self.left < 0:
            raise ModelRefused(
                "format",
                "reading the model file would take far more memory than a file of its size needs",
                "write it with joblib.dump(estimator, file) without compress, or seal a smaller "
                "model; if you did not make the file yourself, do not use it",
            )
