"""The columns of a model: what its table says of them, or what it says itself without one.

There may be several ways to read a table: dates are texts in a CSV file, and so are pandas'
categories. A model that raises on texts is asked again about the other readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from secureml.models.card import Feature
from secureml.models.rows.dates import is_date
from secureml.models.sealing.column_use import said_by_model
from secureml.models.sealing.csv_dialect import Dialect
from secureml.models.sealing.estimator_shape import refuse, takes_mapping, takes_texts
from secureml.models.sealing.feature_columns import choose_columns
from secureml.models.sealing.object_columns import choose_names, known_names, named_features
from secureml.models.sealing.table_file import Column, TableFile, read_table
from secureml.models.sealing.training_table import is_code, learn, read_types, texts_of
from secureml.models.sealing.typed_columns import TypedColumn
from secureml.models.serving.verification import classes_of

GOLDEN_ROWS = 20


@dataclass(frozen=True)
class ModelColumns:
    """Columns in the model's order: what they teach, and their values as a client sends them.

    ``golden`` are rows of them, ``stated`` what the operator says of types, ``types`` all that is
    said, also by the model itself or by the way of reading; ``cells`` the columns of the file.
    """

    features: tuple[Feature, ...]
    golden: list[tuple[Any, ...]]
    values: dict[str, list[Any]] = field(default_factory=dict)
    cells: dict[str, Column] = field(default_factory=dict)
    stated: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dialect: Dialect | None = None  # of a CSV file

    def texts(self) -> dict[str, list[str]]:
        """Return the cells of a CSV file; of typed columns none, where nothing is to be guessed."""
        return {name: texts_of(c) for name, c in self.cells.items() if isinstance(c, list)}

    def readings(self) -> Iterator[ModelColumns]:
        """Return these columns, and then in the other ways in which they can be meant."""
        yield self
        words = [
            feature.name
            for feature in self.features
            if feature.dtype in ("category", "text") and self._is_open(feature.name)
        ]
        dates = {name: "date" for name in words if all(map(is_date, self._present(name)))}
        kept = {
            feature.name: "categorical" for feature in self.features
            if feature.name in words and feature.dtype == "category"
        }  # fmt: skip
        codes = {name: "number" for name in self.cells if self._is_code(name)}
        for types in (dates, kept, {**kept, **dates}, codes):
            if types:
                yield self._read_as(types)

    def _is_open(self, name: str) -> bool:
        column = self.cells.get(name)
        return column is not None and not isinstance(column, TypedColumn) and (
            name not in self.types)  # fmt: skip

    def _is_code(self, name: str) -> bool:
        return name not in self.stated and is_code(self.cells[name])

    def _present(self, name: str) -> list[Any]:
        return [value for value in self.values[name] if value is not None]

    def _read_as(self, types: Mapping[str, str]) -> ModelColumns:
        learned = {name: learn(name, self.cells[name], dtype) for name, dtype in types.items()}
        values = {**self.values, **{name: found for name, (_, found) in learned.items()}}
        features = tuple(
            learned[feature.name][0] if feature.name in learned else feature
            for feature in self.features
        )
        notes = tuple(
            f"{name!r} is read as {dtype}: the model does not answer it as text"
            for name, dtype in types.items()
        )
        return replace(
            self,
            features=features,
            values=values,
            golden=_golden(values),
            types={**self.types, **types},
            notes=(*self.notes, *notes),
        )


def columns_of(
    estimator: Any,
    width: int | None,
    data: TableFile | None,
    target: str | None,
    types: Mapping[str, str],
) -> ModelColumns:
    """Return the columns of a model; raises ModelRefused("card") where they do not fit it.

    ``width`` is None where the model does not say how many columns it takes: then it takes all of
    the table but its answers.
    """
    if data is None:
        return _without_table(estimator, width or 0, types)
    table = read_table(data)
    width = len(table.columns) - 1 if width is None else width
    notes: tuple[str, ...] = ()
    if table.dialect is not None and not table.dialect.is_usual:
        notes = (f"the table is read as: {table.dialect.described()}",)
    if takes_mapping(estimator):
        columns = choose_names(table, target, estimator)
        said = {**said_by_model(estimator, columns), **known_names(estimator)}
    else:
        chosen = choose_columns(table, target, _names(estimator), width, classes_of(estimator))
        columns, notes = chosen.columns, (*notes, *chosen.notes)
        said = said_by_model(estimator, columns)
    stated = read_types(types, columns)
    said = {name: dtype for name, dtype in said.items() if name in columns} | stated
    learned = {name: learn(name, column, said.get(name)) for name, column in columns.items()}
    values = {name: found for name, (_, found) in learned.items()}
    features = tuple(feature for feature, _ in learned.values())
    if takes_mapping(estimator):
        # An object without a name is what such a model knows of missing.
        features = tuple(replace(feature, missing="allow") for feature in features)
    return ModelColumns(
        features, _golden(values), values, columns, stated, said, notes, table.dialect
    )


def _names(estimator: Any) -> list[str] | None:
    fitted = getattr(estimator, "feature_names_in_", None)
    return None if fitted is None else [str(name) for name in fitted]


def _without_table(estimator: Any, width: int, types: Mapping[str, str]) -> ModelColumns:
    read_types(types, {})
    if takes_mapping(estimator):
        features = named_features(estimator)
        return ModelColumns(features, _made_up(features))
    if takes_texts(estimator):
        raise refuse(
            "the model takes texts, and which ones is known from a table alone",
            "give the table it was fitted on with --data: one column of texts, and the answers",
        )
    names = _names(estimator) or [f"x{i}" for i in range(width)]
    plain = tuple(Feature(name) for name in names)
    return ModelColumns(plain, _made_up(plain))


def _golden(values: Mapping[str, list[Any]]) -> list[tuple[Any, ...]]:
    """Return rows spread over the table, ends included: tables are often sorted by their answer."""
    length = len(next(iter(values.values())))
    chosen = sorted({round(index) for index in np.linspace(0, length - 1, GOLDEN_ROWS)})
    return [tuple(found[row] for found in values.values()) for row in chosen]


def _made_up(features: tuple[Feature, ...]) -> list[tuple[Any, ...]]:
    # Not random: the same model sealed twice has the same golden rows.
    return [
        tuple(_made_up_cell(feature, row, column) for column, feature in enumerate(features))
        for row in range(GOLDEN_ROWS)
    ]


def _made_up_cell(feature: Feature, row: int, column: int) -> Any:
    if feature.categories:
        return feature.categories[(row + column) % len(feature.categories)]
    return ((row * 7 + column * 3) % 11 - 5) * 10.0 ** (row % 4 - 1)
