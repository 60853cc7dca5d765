"""What an operator should know about the table, though nothing is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secureml.models.card import Feature
from secureml.models.sealing.missing_words import listed, words_for_missing

_NAMED = 8  # how many columns a note names
_BEYOND = {
    "missing": "null is read in {}, though nothing is missing there in the table, because the "
    "model answers it; to refuse it: --missing COLUMN=refuse",
    "unknown": "categories that the table has not are read in {}, because the model answers them; "
    "to refuse them: --unknown COLUMN=refuse",
    "dtype": "numbers with a fraction are read in {}, though they are whole in the table, because "
    "the model answers them; to refuse them: --types COLUMN=integer",
}


def notes(features: Sequence[Feature], cells: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Tell of words that pandas takes for missing, in columns where they could be words.

    ``cells`` are the columns of the table as text.
    """
    return tuple(
        f"{name!r} holds {listed(counts)}, taken for missing as pandas does: null in a "
        "request, and no category"
        for name, counts in words_for_missing(features, cells).items()
    )


def acceptance_notes(before: Sequence[Feature], after: Sequence[Feature]) -> tuple[str, ...]:
    """Tell of features that take more than their table holds, because the model answers it."""
    found = []
    for what, text in _BEYOND.items():
        names = [
            now.name
            for was, now in zip(before, after, strict=True)
            if getattr(was, what) != getattr(now, what)
        ]
        if names:
            found.append(text.format(_listed(names)))
    return tuple(found)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
