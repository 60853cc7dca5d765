"""What a model does with its columns: which it reads as texts, and which as categories.

A table cannot say whether 02134 is a number, or whether a column of words is a text. The steps of
scikit-learn that a model holds have kept what they were fitted on, and that is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer

from secureml.models.sealing.estimator_shape import takes_texts
from secureml.models.sealing.table_file import Column
from secureml.models.sealing.training_table import WORDS, is_code, is_truth
from secureml.models.unpickling.graph import parts


def said_by_model(estimator: Any, columns: Mapping[str, Column]) -> dict[str, str]:
    """Return what a model says of columns whose cells alone could mislead, by name.

    A column that a vectoriser takes is text, however few texts there are. Whole numbers with a
    leading zero are words, and words for true and false too where an encoder was fitted on them.
    """
    if takes_texts(estimator):
        # A column of few texts is one of categories, but not to a model that takes texts apart.
        return dict.fromkeys(columns, "text")
    found = {name: "text" for name in _vectorized(estimator) if name in columns}
    fitted = _fitted_kinds(estimator)
    for name, column in columns.items():
        if is_code(column):
            numbers = fitted.get(name, set()) - {str}
            found.setdefault(name, "number" if numbers else WORDS)
        elif is_truth(column) and fitted.get(name) == {str}:
            found.setdefault(name, WORDS)
    return found


def _vectorized(estimator: Any) -> Iterator[str]:
    """Return the columns that a vectoriser of texts was given by name or place."""
    for part in parts(estimator):
        if not isinstance(part, ColumnTransformer):
            continue
        names = getattr(part, "feature_names_in_", None)
        for _, step, columns in part.transformers_:
            if isinstance(step, str) or not takes_texts(step):
                continue
            if isinstance(columns, str):
                yield columns
            elif names is not None and isinstance(columns, int):
                yield str(names[columns])


def _fitted_kinds(estimator: Any) -> dict[str, set[type]]:
    """Return the types of the categories that encoders know, by the column they were fitted on."""
    found: dict[str, set[type]] = {}
    for part in parts(estimator):
        known = getattr(part, "categories_", None)
        names = getattr(part, "feature_names_in_", None)
        if isinstance(known, list) and names is not None and len(names) == len(known):
            for name, categories in zip(names, known, strict=True):
                kinds = {type(each) for each in np.asarray(categories).tolist()}
                found.setdefault(str(name), set()).update(kinds - {type(None)})
    return found


def read_as_categories(estimator: Any, names: Sequence[str]) -> frozenset[str]:
    """Return the columns whose values a model looks up, so that 3.5 is none of them.

    All of them where a step that looks values up does not say which columns it was fitted on.
    """
    found: set[str] = set()
    inside = list(parts(estimator))
    # Histogram boosting says itself which columns its own encoder was fitted on.
    own = {
        id(each)
        for part in inside
        if hasattr(part, "_bin_mapper")
        for each in (part._bin_mapper, *parts(part._preprocessor))  # noqa: SLF001
    }
    for part in inside:
        if id(part) in own:
            continue
        mask = getattr(part, "is_categorical_", None)
        if not hasattr(part, "categories_") and not hasattr(part, "category_count_"):
            if mask is None:
                continue
            mask = np.asarray(mask)
        fitted = getattr(part, "feature_names_in_", None)
        if fitted is None:
            return frozenset(names)
        found.update(map(str, fitted if mask is None else np.asarray(fitted)[mask]))
    return frozenset(found)
