"""What one caller did in one span of time, as a handful of numbers.

Windows of several workers add up exactly: counts are added, sets of paths are bit masks.
No path, value or label is kept, only counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from math import log1p
from typing import Any, NamedTuple
from zlib import crc32

LABELS = 16  # buckets of predicted labels
_MAX_LABELS = 32  # of one request: a batch of ten thousand rows must not take longer
_MAX_COUNT = 2**63  # beyond what can be counted; of larger numbers no logarithm is taken
_MASK = re.compile("[0-9a-f]{1,16}")

# The features of a window: (name, meaning, the smallest spread that means anything).
FEATURES = (
    ("requests", "requests, as log(1 + n)", 0.2),
    ("refused", "share of requests refused", 0.02),
    ("unauthorized", "share refused for want of a credential or a right", 0.02),
    ("malformed", "share refused for what they contained", 0.02),
    ("limited", "share refused for being too many", 0.02),
    ("failed", "share that the server failed to answer", 0.02),
    ("missing", "share that asked for what does not exist", 0.02),
    ("paths", "different paths, up to 64", 0.5),
    ("rows", "rows a request, as log(1 + n)", 0.2),
    ("bytes", "bytes a request, as log(1 + n)", 0.2),
    ("flagged", "share with input that a rule found odd", 0.02),
    ("one_label", "share of the commonest answer among all answers", 0.05),
)
NAMES = tuple(name for name, _, _ in FEATURES)


class Observation(NamedTuple):
    """What is counted of one request; ``labels`` are predicted classes, [] for numbers."""

    status: int
    path: str
    rows: int
    bytes_in: int
    flagged: bool
    labels: Sequence[Any]


@dataclass(slots=True)
class Window:
    """Counts of one caller in one span; ``paths`` is a mask of 64 bits."""

    requests: int = 0
    refused: int = 0
    unauthorized: int = 0
    malformed: int = 0
    limited: int = 0
    failed: int = 0
    missing: int = 0
    paths: int = 0
    rows: int = 0
    bytes_in: int = 0
    flagged: int = 0
    labels: list[int] = field(default_factory=lambda: [0] * LABELS)

    def add(self, observation: Observation) -> None:
        """Count one request."""
        self.requests += 1
        self.rows += observation.rows
        self.bytes_in += observation.bytes_in
        self.flagged += observation.flagged
        self.paths |= 1 << (crc32(observation.path.encode("utf-8", "replace")) & 63)
        if observation.status >= 400:
            self.refused += 1
            self._count(observation.status)
        for label in observation.labels[:_MAX_LABELS]:
            self.labels[crc32(repr(label).encode()) % LABELS] += 1

    def _count(self, status: int) -> None:
        if status in (401, 403):
            self.unauthorized += 1
        elif status in (404, 405):
            self.missing += 1
        elif status == 429:
            self.limited += 1
        elif status >= 500:
            self.failed += 1
        else:
            self.malformed += 1

    def merge(self, other: Window) -> None:
        """Add what another worker counted."""
        mine, theirs = asdict(self), asdict(other)
        for name, value in theirs.items():
            if name == "paths":
                self.paths |= value
            elif name == "labels":
                self.labels = [a + b for a, b in zip(self.labels, value, strict=True)]
            else:
                setattr(self, name, mine[name] + value)

    def features(self) -> list[float]:
        """Return the features, (len(FEATURES),), in the order of FEATURES."""
        requests = max(self.requests, 1)
        answers = sum(self.labels)
        return [
            log1p(self.requests),
            self.refused / requests,
            self.unauthorized / requests,
            self.malformed / requests,
            self.limited / requests,
            self.failed / requests,
            self.missing / requests,
            float(self.paths.bit_count()),
            log1p(self.rows / requests),
            log1p(self.bytes_in / requests),
            self.flagged / requests,
            max(self.labels) / answers if answers else 0.0,
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it: the mask as text, because it has 64 bits."""
        return asdict(self) | {"paths": f"{self.paths:x}"}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Window:
        """Read what `to_json` wrote; raises ValueError for anything else.

        Another version of this plugin may have counted other things: what it left is no zero.
        """
        if set(data) != _COUNTED:
            raise ValueError("it has other counts than a window")
        paths, labels = data["paths"], data["labels"]
        if not isinstance(labels, list) or len(labels) != LABELS:
            raise ValueError("it has other labels than a window")
        counts = [value for name, value in data.items() if name not in ("paths", "labels")]
        if not all(type(count) is int and 0 <= count < _MAX_COUNT for count in counts + labels):
            raise ValueError("a count is no whole number")
        if not isinstance(paths, str) or not _MASK.fullmatch(paths):
            raise ValueError("the paths are no mask of 64 bits")
        return cls(**(data | {"paths": int(paths, 16)}))


_COUNTED = frozenset(each.name for each in fields(Window))
