"""How much the work may take, as the operating system counts it.

A pure module. Bytes and seconds throughout. Each limit stands twice where one of the two could be
passed by: memory as an address space that Linux bounds and as resident memory that the parent
watches, processor time as a soft and a hard limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

MIB = 1024**2
GIB = 1024**3
# Address space beyond `memory`: code of libraries, stacks and arenas that are reserved, not used.
_RESERVED = 4 * GIB


class LimitName(Enum):
    """Which limit ended the work; the value is the word for it in messages."""

    MEMORY = "memory"
    PROCESSOR = "processor time"
    WALL = "time"
    OUTPUT = "size of the result"
    MESSAGES = "size of the messages"
    THREADS = "number of threads"
    REFUSALS = "number of refused system calls"


@dataclass(frozen=True)
class Limits:
    """What one piece of work may take.

    `memory` is data in bytes: heap, stacks and arrays. `processor` and `wall` are seconds,
    `output` and `messages` bytes. Raises ValueError for one that is not positive.
    """

    memory: int = 2 * GIB
    processor: float = 60.0
    wall: float = 120.0
    output: int = 256 * MIB
    messages: int = MIB
    files: int = 256
    threads: int = 64
    refusals: int = 100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0 or not math.isfinite(value):
                raise ValueError(f"limit {name!r} must be positive and finite, not {value!r}")

    def resources(self) -> dict[str, tuple[int, int]]:
        """Return soft and hard limit by the name that the module `resource` has for it."""
        seconds = math.ceil(self.processor)
        bounds = {
            "RLIMIT_DATA": self.memory,
            "RLIMIT_AS": self.memory + _RESERVED,
            # One more than is allowed, so that a result that is too long can be told by its size.
            "RLIMIT_FSIZE": self.output + 1,
            "RLIMIT_NOFILE": self.files,
            "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
        }
        # The soft limit is a signal that can be ignored, the hard one is not.
        return {name: (bound, bound) for name, bound in bounds.items()} | {
            "RLIMIT_CPU": (seconds, seconds + 1)
        }
