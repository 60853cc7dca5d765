"""Words such as ``NA`` that pandas takes for missing, in columns where they could be words.

A table cannot say which of the two was meant: NA is Namibia as well. Where the model knows the
word it was fitted on it, and would be asked about nothing in its place: refused, with the two
ways that work.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.impute import SimpleImputer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Feature
from secureml.models.sealing.table_file import MISSING
from secureml.models.unpickling.graph import parts

_EXAMPLES = 3
Words = Mapping[str, Counter[str]]


def words_for_missing(features: Sequence[Feature], cells: Mapping[str, Sequence[str]]) -> Words:
    """Return, for columns of words, the words in them that are taken for missing, with counts.

    ``cells`` are the columns as text; without a table there are none.
    """
    found = {}
    for feature in features:
        if feature.dtype in ("category", "text") and feature.missing == "allow":
            column = cells.get(feature.name, ())
            found[feature.name] = Counter(cell for cell in column if cell and cell in MISSING)
    return {name: counts for name, counts in found.items() if counts}


def listed(counts: Counter[str]) -> str:
    """Return the most frequent of the words, each with how often it stands there."""
    return ", ".join(f"{word!r} ({count})" for word, count in counts.most_common(_EXAMPLES))


def check_words(estimator: Any, words: Words) -> None:
    """Refuse a model that knows a word as a category which the table gives it as missing.

    For scikit-learn's own code: a function of one's own may write such a word for what is missing,
    as an imputer does. Raises ModelRefused("card").
    """
    if not words:
        return
    inside = list(parts(estimator))
    filled = {_text(part, "fill_value") for part in inside if type(part) is SimpleImputer}
    for part in inside:
        for name, known in _categories(part, words):
            fitted = words[name].keys() & known - filled
            if fitted:
                raise ModelRefused(
                    "card",
                    f"the model was fitted on {min(fitted)!r} in column {name!r} as a word, and "
                    f"the table gives none: {_said(name, words[name])}",
                    _ways_out({name: words[name]}),
                )


def _text(part: Any, attribute: str) -> str | None:
    found = getattr(part, attribute, None)
    return found if isinstance(found, str) else None


def _categories(part: Any, words: Words) -> Iterator[tuple[str, set[str]]]:
    """Return the texts that an encoder knows, by column; all of them where it has no names."""
    known = getattr(part, "categories_", None)
    if not isinstance(known, list):
        return
    texts = [{each for each in categories if isinstance(each, str)} for categories in known]
    names = getattr(part, "feature_names_in_", None)
    if names is None or len(names) != len(texts):
        # It stands behind another step. No column of the table gives such a word to any.
        names, texts = list(words), [set().union(*texts)] * len(words)
    yield from ((name, found) for name, found in zip(names, texts, strict=True) if name in words)


@contextlib.contextmanager
def explained(words: Words) -> Iterator[None]:
    """Tell of these words where a model raises on rows of the table: they may be the reason."""
    try:
        yield
    except ModelRefused as refused:
        if refused.__cause__ is None or not words:
            raise
        said = "; ".join(_said(name, counts) for name, counts in list(words.items())[:_EXAMPLES])
        raise ModelRefused(
            refused.check, f"{refused.message}; {said}", f"{_ways_out(words)}; else {refused.fix}"
        ) from refused.__cause__


def _said(name: str, counts: Counter[str]) -> str:
    return (
        f"column {name!r} holds {listed(counts)}, which pandas.read_csv takes for a missing value"
    )


def _ways_out(words: Words) -> str:
    name, counts = next(iter(words.items()))
    word = counts.most_common(1)[0][0]
    return (
        f"if {word!r} is a word in {name!r} (as NA is Namibia), write another one for it in the "
        f"table, such as {word + '_'!r}, fit the model on that table and seal with it; if it "
        "means that nothing is known, fit the model on pandas.read_csv of this table"
    )
