"""How two versions of a model compare on the same traffic, as sums that workers can add up.

Every number is a sum or a count, so that the comparison of all workers is the sum of theirs, and
what was lost with one worker makes the others no less true.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from secureml.models.serving.result import Result
from secureml.state.deployments import TrialLimits

IN_USE, TRIED = "in_use", "tried"
LABELS = 50  # labels that are counted by name; what comes later is counted as one
OTHER = "(other)"
_LONGEST = 200  # characters of a label that are kept: sums are written every second
# Amounts beyond count as this: a sum of squares stays a number, which JSON can carry.
_HUGE = 1e140
_CLOSE = 1e-6  # relative difference of two amounts that counts as none


@dataclass
class Side:
    """What one version did: requests it answered, of which failed, and how long it took."""

    requests: int = 0
    failed: int = 0
    microseconds: int = 0
    measured: int = 0  # answers whose time is in ``microseconds``
    labels: Counter[str] = field(default_factory=Counter)
    total: float = 0.0  # of amounts, over ``amounts`` of them
    squares: float = 0.0
    amounts: int = 0

    def count(self, *, failed: bool) -> None:
        """Count a request that this version answered."""
        self.requests += 1
        self.failed += failed

    def time(self, nanoseconds: int) -> None:
        """Count how long an answer of the model took."""
        self.measured += 1
        self.microseconds += nanoseconds // 1000

    def answered(self, answers: Sequence[Any], *, labels: bool) -> None:
        """Count what was answered, for the drift of answers."""
        for answer in answers:
            if labels:
                self._label(str(answer)[:_LONGEST])
            elif isinstance(answer, (int, float)):
                amount = max(-_HUGE, min(_HUGE, float(answer)))
                self.total, self.squares = self.total + amount, self.squares + amount * amount
                self.amounts += 1

    def _label(self, label: str) -> None:
        known = label in self.labels or len(self.labels) < LABELS
        self.labels[label if known else OTHER] += 1

    @property
    def error_rate(self) -> float:
        """Failed requests, as a share of all."""
        return self.failed / self.requests if self.requests else 0.0

    @property
    def mean_microseconds(self) -> float:
        """How long an answer of the model takes in the mean."""
        return self.microseconds / self.measured if self.measured else 0.0

    @property
    def mean(self) -> float:
        """The mean of answers that are amounts."""
        return self.total / self.amounts if self.amounts else 0.0

    @property
    def deviation(self) -> float:
        """Their standard deviation."""
        if not self.amounts:
            return 0.0
        variance = self.squares / self.amounts - self.mean * self.mean
        return math.sqrt(variance) if variance > 0 else 0.0


@dataclass
class Comparison:
    """Two versions on the same traffic; ``rows`` were answered by both, ``differing`` unlike."""

    in_use: Side = field(default_factory=Side)
    tried: Side = field(default_factory=Side)
    rows: int = 0
    differing: int = 0
    probability_difference: float = 0.0  # sum over rows of the largest difference of a row
    dropped: int = 0  # requests that were not compared, because the worker had too much to do

    def add(self, in_use: Result, tried: Result) -> None:
        """Compare two answers to the same rows."""
        labels = in_use.classes is not None
        self.in_use.answered(in_use.predictions, labels=labels)
        self.tried.answered(tried.predictions, labels=labels)
        pairs = list(zip(in_use.predictions, tried.predictions, strict=True))
        self.rows += len(pairs)
        self.differing += sum(not _same(one, other) for one, other in pairs)
        self.probability_difference += _probabilities_apart(in_use, tried)

    def add_unanswered(self, rows: int) -> None:
        """Count rows that one version answered and the other could not."""
        self.rows += rows
        self.differing += rows

    @property
    def disagreement(self) -> float:
        """Rows that were answered otherwise, as a share of those both answered."""
        return self.differing / self.rows if self.rows else 0.0

    @property
    def drift(self) -> float:
        """How far the answers of both have moved apart, from 0 to 1 for labels.

        For labels the total variation distance of their shares; for amounts the difference of
        means in standard deviations of the version in use.
        """
        if self.in_use.amounts:
            apart = abs(self.tried.mean - self.in_use.mean)
            return apart / self.in_use.deviation if self.in_use.deviation else float(apart > 0)
        one, other = self.in_use.labels, self.tried.labels
        if not one or not other:
            return 0.0
        here, there = one.total(), other.total()
        return sum(abs(one[word] / here - other[word] / there) for word in {*one, *other}) / 2

    @property
    def latency_ratio(self) -> float:
        """How many times as long the version on trial takes; 0 where it is not known yet."""
        usual = self.in_use.mean_microseconds
        return self.tried.mean_microseconds / usual if usual else 0.0

    def reason_to_stop(self, limits: TrialLimits) -> str:
        """Return which limit is passed, in words; "" while none is."""
        more = self.tried.error_rate - self.in_use.error_rate
        if self.tried.requests >= limits.least and more > _or_infinite(limits.error_rate):
            return (
                f"{self.tried.error_rate:.1%} of its requests failed, "
                f"{self.in_use.error_rate:.1%} of those of the version in use"
            )
        both = min(self.tried.measured, self.in_use.measured)
        if both >= limits.least and self.latency_ratio > _or_infinite(limits.latency):
            return f"it takes {self.latency_ratio:.1f} times as long as the version in use"
        if self.rows >= limits.least and self.disagreement > _or_infinite(limits.disagreement):
            return f"it answers {self.disagreement:.1%} of the rows otherwise"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Return the sums as JSON."""
        return {
            IN_USE: _side_to_json(self.in_use),
            TRIED: _side_to_json(self.tried),
            "rows": self.rows,
            "differing": self.differing,
            "probability_difference": self.probability_difference,
            "dropped": self.dropped,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Comparison:
        """Return what `to_json` gave."""
        rest = {key: value for key, value in raw.items() if key not in (IN_USE, TRIED)}
        return cls(_side_from_json(raw[IN_USE]), _side_from_json(raw[TRIED]), **rest)

    @classmethod
    def sum(cls, parts: Sequence[Comparison]) -> Comparison:
        """Return the comparison of all workers."""
        whole = cls()
        for part in parts:
            for name in (IN_USE, TRIED):
                _add_side(getattr(whole, name), getattr(part, name))
            whole.rows += part.rows
            whole.differing += part.differing
            whole.probability_difference += part.probability_difference
            whole.dropped += part.dropped
        return whole


def _or_infinite(limit: float | None) -> float:
    return math.inf if limit is None else limit


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return bool(one == other)


def _probabilities_apart(in_use: Result, tried: Result) -> float:
    """Return the sum, over rows, of the largest difference between two probabilities of a class."""
    if in_use.probabilities is None or tried.probabilities is None:
        return 0.0
    if in_use.classes != tried.classes:
        return 0.0  # nothing says which belongs to which
    return sum(
        max((abs((a or 0.0) - (b or 0.0)) for a, b in zip(one, other, strict=True)), default=0.0)
        for one, other in zip(in_use.probabilities, tried.probabilities, strict=True)
    )


def _add_side(whole: Side, part: Side) -> None:
    for name in ("requests", "failed", "microseconds", "measured", "total", "squares", "amounts"):
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
    for label, count in part.labels.items():
        known = label in whole.labels or len(whole.labels) < LABELS
        whole.labels[label if known else OTHER] += count


def _side_to_json(side: Side) -> dict[str, Any]:
    return {**vars(side), "labels": dict(side.labels)}


def _side_from_json(raw: Mapping[str, Any]) -> Side:
    return Side(**{**raw, "labels": Counter(raw["labels"])})
