"""A table as pandas reads it, and as it was most likely given to the model.

Independent of our own reader, which it is compared with: the file is read a second time.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card, Feature
from secureml.models.sealing.csv_dialect import Dialect
from secureml.models.sealing.table_file import TableFile
from secureml.models.sealing.typed_columns import decode, to_pandas

# What is said of a column, as pandas.read_csv is told it.
_READ_AS: dict[str, Any] = {
    **dict.fromkeys(("category", "text", "words", "date"), str),
    "float": "float64",
}


@dataclass(frozen=True)
class PandasReading:
    """A table file, how it is written (None for typed columns), and what is said of its columns."""

    file: TableFile
    dialect: Dialect | None
    types: Mapping[str, str]

    def rows(self, card: Card, estimator: Any) -> Any:
        """Return the features as the estimator takes them; None where there is no pandas.

        A frame, an array of shape (rows, columns), or a list of objects. Raises ModelRefused.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - an extra: models of plain arrays do without
        except ImportError:
            return None
        try:
            frame = self._frame(card, pd)
        except (ValueError, KeyError, OverflowError, TypeError) as error:
            raise ModelRefused(
                "answers",
                f"pandas cannot read the table ({error})",
                "give a table that pandas reads",
            ) from None
        if card.container == "mapping":
            return _objects(frame)
        if card.container == "frame" or getattr(estimator, "feature_names_in_", None) is not None:
            return frame
        return np.ascontiguousarray(frame.to_numpy())

    def _frame(self, card: Card, pd: Any) -> Any:
        names = [feature.name for feature in card.features]
        if self.dialect is None:
            frame = to_pandas(decode(self.file.content))[names]
        else:
            frame = self._read_csv(names, self.dialect, pd)
        for feature in card.features:
            dtype = self._kept_dtype(feature, pd)
            if dtype is not None:
                frame[feature.name] = dtype(frame[feature.name])
        return frame

    def _read_csv(self, names: list[str], dialect: Dialect, pd: Any) -> Any:
        return pd.read_csv(
            io.BytesIO(self.file.content),
            usecols=names,
            dtype={name: _READ_AS[said] for name, said in self.types.items() if said in _READ_AS},
            low_memory=False,  # else long columns are read in pieces, each with a dtype of its own
            **dialect.for_pandas(),
            **_exact(pd.__version__),
        )[names]

    def _kept_dtype(self, feature: Feature, pd: Any) -> Any:
        """Return what makes of a column that a CSV file holds as text what the model was given."""
        said = self.types.get(feature.name)
        if said == "categorical":
            dtype = pd.CategoricalDtype(list(feature.categories or ()))
            return lambda column: column.astype(dtype)
        if said == "date":
            return lambda column: pd.to_datetime(column, format="ISO8601")
        return None


def _objects(frame: Any) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if value == value}  # noqa: PLR0124 - not NaN
        for row in frame.to_dict("records")
    ]


def _exact(version: str) -> dict[str, str]:
    """Return what has pandas read numbers as Python does, to the bit."""
    parts = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    return {} if parts >= [3, 1] else {"float_precision": "round_trip"}
