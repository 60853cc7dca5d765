"""Models whose rows are objects of names and values: DictVectorizer and FeatureHasher.

Their names are the columns of the table. A DictVectorizer has kept the names it was fitted on, and
needs no table to tell them; a FeatureHasher keeps none.
"""

from __future__ import annotations

from typing import Any

from secureml.models.card import Feature
from secureml.models.sealing.estimator_shape import first_step, refuse
from secureml.models.sealing.feature_columns import is_answer
from secureml.models.sealing.table_file import Column, Table
from secureml.models.serving.verification import classes_of


def known_names(estimator: Any) -> dict[str, str]:
    """Return the names a DictVectorizer was fitted on, each with its type; none for a hasher."""
    return {name: "category" if words else "number" for name, words in _vocabulary(estimator)}


def named_features(estimator: Any) -> tuple[Feature, ...]:
    """Return the features of a DictVectorizer; raises ModelRefused("card") for a hasher."""
    vocabulary = _vocabulary(estimator)
    if not vocabulary:
        raise refuse(
            f"the model takes objects of names and values, and its {_kind(estimator)} keeps no "
            "names",
            "give a table with --data, one column for each name; from a notebook, "
            "secureml.seal(model, rows, answers, name=...) takes the list of objects",
        )
    return tuple(
        Feature(name, "category", categories=words, missing="allow", unknown="allow")
        if words
        else Feature(name, missing="allow")
        for name, words in vocabulary
    )


def choose_names(table: Table, target: str | None, estimator: Any) -> dict[str, Column]:
    """Return the columns that are names of the objects; raises ModelRefused("card")."""
    known = known_names(estimator)
    if target is not None and target not in table.columns:
        raise refuse(
            f"the table has no column {target!r}", "name the answer's column with --target"
        )
    if target is None:
        target = _answer(table, known, classes_of(estimator))
    columns = {name: column for name, column in table.columns.items() if name != target}
    strange = next((name for name in columns if known and name not in known), None)
    if strange is not None:
        raise refuse(
            f"the table has {strange!r}, which is not a name the model was fitted on",
            "give the columns the model was fitted on; name the answer's column with --target",
        )
    if not columns:
        raise refuse("the table has no column but the answers", "give the names as columns, too")
    return columns


def _answer(table: Table, known: dict[str, str], classes: tuple[Any, ...] | None) -> str | None:
    if known:
        surplus = [name for name in table.columns if name not in known]
        return surplus[0] if len(surplus) == 1 else None
    last = next(reversed(table.columns))
    return last if is_answer(last, table.columns[last], classes) else None


def _vocabulary(estimator: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Return names with the words that were seen of each; without any it is a number."""
    step = first_step(estimator)
    found: dict[str, list[str]] = {}
    for each in getattr(step, "feature_names_", ()):
        name, sign, word = each.partition(step.separator)
        words = found.setdefault(name, [])
        if sign:
            words.append(word)
    return [(name, tuple(sorted(words))) for name, words in found.items()]


def _kind(estimator: Any) -> str:
    return type(first_step(estimator)).__name__
