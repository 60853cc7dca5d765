"""What a caller sees of an answer: labels alone, rounded numbers, the highest, or all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Answers:
    """Answers to rows: ``labels`` as places in the list of classes, or ``amounts`` of a regressor.

    ``shares`` are the probabilities, of the shape (rows, classes), where they are visible.
    """

    labels: Array | None = None
    shares: Array | None = None
    amounts: Array | None = None

    def part(self, index: Any) -> Answers:
        """Return the answers to some of the rows."""
        return Answers(*(None if each is None else each[index] for each in self._all()))

    def joined(self, other: Answers) -> Answers:
        """Return these answers and then those of further rows."""
        pairs = zip(self._all(), other._all(), strict=True)
        return Answers(*(None if a is None else np.concatenate([a, b]) for a, b in pairs))

    def _all(self) -> tuple[Array | None, Array | None, Array | None]:
        return self.labels, self.shares, self.amounts


@dataclass(frozen=True)
class AnswerForm:
    """How much of an answer is visible to a caller."""

    name: str
    probabilities: bool = True
    decimals: int | None = None
    top: int | None = None

    def visible(self, answers: Answers) -> Answers:
        """Return what a caller sees of answers; withheld probabilities share what is left."""
        shares = answers.shares if self.probabilities else None
        if shares is not None and self.top is not None:
            shares = _highest(shares, self.top)
        if shares is not None and self.decimals is not None:
            shares = np.round(shares, self.decimals)
        amounts = answers.amounts
        if amounts is not None and self.decimals is not None:
            amounts = np.round(amounts, self.decimals)
        return Answers(answers.labels, shares, amounts)


LABELS = AnswerForm("labels", probabilities=False)
FULL = AnswerForm("full")


def rounded(decimals: int) -> AnswerForm:
    """Return the form with so many decimal places."""
    return AnswerForm(_places(decimals), decimals=decimals)


def top(count: int, decimals: int) -> AnswerForm:
    """Return the form with the highest probabilities alone, rounded."""
    return AnswerForm(f"top {count}, {_places(decimals)}", decimals=decimals, top=count)


def _places(decimals: int) -> str:
    return f"{decimals} decimal{'s' * (decimals != 1)}"


def _highest(shares: Array, count: int) -> Array:
    order = np.argsort(-shares, axis=1, kind="stable")
    kept = np.zeros(shares.shape, dtype=bool)
    np.put_along_axis(kept, order[:, :count], values=True, axis=1)
    left = 1.0 - np.where(kept, shares, 0.0).sum(axis=1, keepdims=True)
    others = np.maximum((~kept).sum(axis=1, keepdims=True), 1)
    return np.where(kept, shares, np.maximum(left, 0.0) / others)
