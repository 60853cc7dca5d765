"""Rows as pandas frames, with the dtypes of the table that a card was learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from secureml.models.card import NUMBERS, Card, Feature


class FrameMaker:
    """Makes pandas frames with the dtypes that pandas gives the table the card was learned from.

    A whole number stays one: text that is made of it must say "3" and not "3.0". Where values
    are missing pandas makes float64 of whole numbers and objects of truth values, and so do we,
    whether or not one is missing in this request.
    """

    def __init__(self, card: Card) -> None:
        # Here and not above: pandas is wanted by these models only.
        import pandas as pd  # noqa: PLC0415

        self._pandas = pd
        self._makers = [(feature.name, _maker(feature, pd)) for feature in card.features]

    def make(self, columns: Sequence[Any]) -> Any:
        """Return a frame of the card's columns in the card's order."""
        parts = zip(self._makers, columns, strict=True)
        return self._pandas.DataFrame({name: make(column) for (name, make), column in parts})


def _maker(feature: Feature, pd: Any) -> Callable[[Any], Any]:
    """Return what makes a series of a column: of values, NaN or NaT where one is missing."""
    if feature.frame_dtype == "category":
        return _categorical(feature, pd)
    dtype = _dtype(feature, pd)

    def make(column: Any) -> Any:
        return pd.Series(column if isinstance(column, np.ndarray) else list(column), dtype=dtype)

    return make


def _categorical(feature: Feature, pd: Any) -> Callable[[Any], Any]:
    known = {category: code for code, category in enumerate(feature.categories or ())}
    dtype = pd.CategoricalDtype(list(known))

    def make(column: Any) -> Any:
        # What is none of them is missing, as where pandas casts to these categories.
        codes = [known.get(cell, -1) for cell in column]
        return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))

    return make


def _dtype(feature: Feature, pd: Any) -> Any:
    if feature.dtype in ("category", "text"):
        return pd.Series(["a"]).dtype  # `str` since pandas 3, `object` before
    if feature.dtype == "date":
        return feature.frame_dtype or pd.to_datetime(pd.Series(["2026-01-31"])).dtype
    return number_dtype(feature)


def number_dtype(feature: Feature) -> str:
    """Return the pandas dtype of a column of numbers or truth values; float64 for others."""
    if feature.dtype not in NUMBERS:
        return "float64"
    if feature.missing == "allow":
        gaps = {"boolean": "object", "integer": "float64"}
        return gaps.get(feature.dtype, feature.frame_dtype or "float64")
    if feature.dtype == "float":
        return feature.frame_dtype or "float64"
    return "bool" if feature.dtype == "boolean" else feature.frame_dtype or "int64"
