"""The protocol's datatypes, and which of them a column of a model takes.

The six that hold what a column can hold. What else the protocol has (half precision, small and
unsigned integers) has no column here, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.kit.protocols import Card, Feature


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype: how NumPy names its binary form, and what JSON holds of it.

    ``binary`` is little-endian, as the binary data extension has it; None for BYTES, whose
    elements have lengths of their own. ``kinds`` are Python's types of a JSON element.
    """

    name: str
    binary: np.dtype[Any] | None
    kinds: frozenset[type]

    @property
    def least_size(self) -> int:
        """The fewest bytes that one element takes in binary."""
        return 4 if self.binary is None else self.binary.itemsize


_NUMBERS = frozenset({int, float})
DATATYPES = {
    each.name: each
    for each in (
        Datatype("FP64", np.dtype("<f8"), _NUMBERS),
        Datatype("FP32", np.dtype("<f4"), _NUMBERS),
        Datatype("INT64", np.dtype("<i8"), frozenset({int})),
        Datatype("INT32", np.dtype("<i4"), frozenset({int})),
        Datatype("BOOL", np.dtype("?"), frozenset({bool})),
        Datatype("BYTES", None, frozenset({str})),
    )
}
_NUMERIC = frozenset({"FP64", "FP32", "INT64", "INT32"})
_TAKEN = {
    "float": _NUMERIC,
    "integer": _NUMERIC,
    "boolean": frozenset({"BOOL"}),
    "text": frozenset({"BYTES"}),
    "category": frozenset({"BYTES"}),
}


def takes(feature: Feature, datatype: Datatype) -> bool:
    """Tell whether a column is read from this datatype; its values are checked later."""
    return datatype.name in _TAKEN[feature.dtype]


def offered(feature: Feature) -> str:
    """Return the datatype that fits a column best; a missing value needs a NaN."""
    if feature.dtype == "integer":
        return "FP64" if feature.missing == "allow" else "INT64"
    return {"float": "FP64", "boolean": "BOOL"}.get(feature.dtype, "BYTES")


def of_predictions(card: Card) -> str:
    """Return the datatype of a model's predictions.

    Of its classes, and where it has none of the answers it was sealed with.
    """
    if card.classes:
        return _of_values(card.classes)
    answers = card.golden.predictions
    return _of_values(
        value for one in answers for value in (one if isinstance(one, list | tuple) else (one,))
    )


def _of_values(values: Iterable[Any]) -> str:
    kinds = set(map(type, values))
    for name in ("BOOL", "INT64", "FP64", "BYTES"):
        if kinds <= DATATYPES[name].kinds:
            return name
    raise TypeError(f"no datatype holds values of {sorted(kind.__name__ for kind in kinds)}")
