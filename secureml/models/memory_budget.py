"""How much memory reading one model file may take, and how much each opcode is counted for.

One byte of a pickle can make a set of 216 bytes, and a compressed file can hold a thousand
times its own size. So what is made is counted while it is made, against a bound that follows
from the size of the file as it lies on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from .artifact import ModelRefused

_BASE = 512 * 1024**2
_PER_BYTE = 32
_OBJECT = 64  # the least an object takes, with its place in a container
RANDOM_GENERATOR = 8192  # state, seed and lock of one; nothing else a pickle may call is as large
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
