"""What a model raises that does not answer, for those who ask it; imports no scikit-learn."""

from __future__ import annotations


class ModelFailed(Exception):
    """The model did not answer; the message is a word for the log: raised.<Type>, not_finite.

    ``row`` is the place of a row it cannot answer while it answers others: then the question is
    at fault and not the model. None where it may be either.
    """

    def __init__(self, word: str, row: int | None = None) -> None:
        super().__init__(word)
        self.row = row
