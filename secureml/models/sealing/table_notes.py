"""What an operator should know about the table, though nothing is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secureml.models.card import Feature
from secureml.models.sealing.missing_words import listed, words_for_missing


def notes(features: Sequence[Feature], cells: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Tell of words that pandas takes for missing, in columns where they could be words.

    ``cells`` are the columns of the table as text.
    """
    return tuple(
        f"{name!r} holds {listed(counts)}, taken for missing as pandas does: null in a "
        "request, and no category"
        for name, counts in words_for_missing(features, cells).items()
    )
