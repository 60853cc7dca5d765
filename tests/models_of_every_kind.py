"""Fitted models of every kind that scikit-learn has, each with the rows that it is asked about."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tests.secureml.models.data_form import test_every_estimator as estimators
from tests.secureml.models.data_form import test_pipelines as pipelines


class Fitted(NamedTuple):
    """A name, the estimator and the rows it was fitted on."""

    name: str
    model: Any
    rows: Any


def each_estimator() -> Iterator[Fitted]:
    """Fit each estimator of scikit-learn that takes any of a few tables."""
    for name, cls in estimators.ESTIMATORS.items():
        made = estimators.fitted(estimators.instances_of(cls)[0])
        if made is not None:
            yield Fitted(name, *made)


def each_pipeline() -> Iterator[Fitted]:
    """Fit the pipelines and compositions that people serve."""
    for name, (model, rows, answers) in pipelines.MODELS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = model.fit(rows) if answers is None else model.fit(rows, answers)
        yield Fitted(name, fitted, rows)


def as_frame(rows: Any) -> pd.DataFrame | None:
    """Return the table that somebody would write of these rows; None where there is none."""
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return pd.DataFrame(rows)
    if np.ndim(rows) == 1 and len(rows) and isinstance(rows[0], str):
        return pd.DataFrame({"text": list(rows)})
    if not isinstance(rows, np.ndarray) or rows.ndim > 2:
        return None
    table = rows.reshape(len(rows), -1)
    return pd.DataFrame(table, columns=[f"c{index}" for index in range(table.shape[1])])


def as_instances(frame: pd.DataFrame) -> list[list[Any]]:
    """Return rows as a client sends them: plain values, null where one is missing."""
    return [[_cell(value) for value in row] for row in frame.astype(object).to_numpy()]


def _cell(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return str(value.date())
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
