"""What a loaded model answers, or why it did not; imports no scikit-learn.

Commands and the view need these without a model: scikit-learn takes a second to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secureml.models.card import Scalar
from secureml.models.serving.reliability import Reliability


class ModelFailed(Exception):
    """The model did not answer; the message is a word for the log: raised.<Type>, not_finite.

    ``row`` is the place of a row it cannot answer while it answers others: then the question is
    at fault and not the model. None where it may be either.
    """

    def __init__(self, word: str, row: int | None = None) -> None:
        super().__init__(word)
        self.row = row


@dataclass(frozen=True, slots=True)
class Result:
    """Answers in plain Python values: one a row, which is a list where the model has several
    outputs, and probabilities in the order of classes.

    A probability that was withheld is None, in its place. ``decimals`` is to how many places
    numbers were rounded, None where they are as the model computed them; ``reliability`` is what a
    plugin knows of how far they can be relied on.
    """

    predictions: list[Any]
    probabilities: list[list[float | None]] | None = None
    classes: tuple[Scalar, ...] | None = None
    decimals: int | None = None
    reliability: Reliability | None = None

    def check_coarser(self, other: Result) -> None:
        """Raise ValueError where another result tells of what this one withholds.

        Numbers may differ, for instance where noise was added; what is not there stays away.
        """
        if len(other.predictions) != len(self.predictions):
            raise ValueError("another number of predictions")
        if self.decimals is not None and (other.decimals is None or other.decimals > self.decimals):
            raise ValueError("numbers that were rounded are said to be finer")
        if other.probabilities is None:
            return
        if self.probabilities is None:
            raise ValueError("probabilities that were withheld are back")
        for before, after in zip(self.probabilities, other.probabilities, strict=True):
            for was, share in zip(before, after, strict=True):
                if was is None and share is not None:
                    raise ValueError("a probability that was withheld is back")
