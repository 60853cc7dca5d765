"""From tensors to the rows of a request: one tensor for each column, or one of all columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secureml.kit.json_pointer import escape
from secureml.kit.protocols import Feature

from .datatypes import takes
from .refusal import LIMIT, Fault, TensorsRefused, refused
from .tensors import Tensor

# A row takes four bytes at least in the body of the core's own route: `[1],`. More of them than
# would have fit there are refused before they are made.
_BYTES_OF_A_ROW = 4


def instances_of(
    tensors: Sequence[Tensor], features: Sequence[Feature], body_limit: int
) -> list[list[Any]]:
    """Return the rows, each a list in the card's order; raises TensorsRefused.

    A single tensor that is named after no column holds all of them: (rows, columns), row by row.
    """
    rows = tensors[0].shape[0]
    if rows * _BYTES_OF_A_ROW > body_limit:
        raise TensorsRefused("max_rows", [("/inputs", "max_rows")], "too_many_rows")
    names = {feature.name for feature in features}
    if len(tensors) == 1 and tensors[0].name not in names:
        return _all_columns(tensors[0], features)
    _check_columns(tensors, features, names)
    by_name = {tensor.name: tensor.values for tensor in tensors}
    columns = [by_name[feature.name] for feature in features]
    return list(map(list, zip(*columns, strict=True)))


def _all_columns(tensor: Tensor, features: Sequence[Feature]) -> list[list[Any]]:
    width = len(features)
    if len(tensor.shape) != 2 or tensor.shape[1] != width:
        raise refused(f"{tensor.path}/shape", "feature_count")
    if not all(takes(feature, tensor.datatype) for feature in features):
        raise refused(f"{tensor.path}/datatype", "datatype")
    values = tensor.values
    return [values[begin : begin + width] for begin in range(0, len(values), width)]


def _check_columns(tensors: Sequence[Tensor], features: Sequence[Feature], names: set[str]) -> None:
    by_name = {feature.name: feature for feature in features}
    faults: list[Fault] = []
    for tensor in tensors:
        faults += _faults_of(tensor, by_name.get(tensor.name), tensors[0].shape[0])
    given = {tensor.name for tensor in tensors}
    absent = [feature.name for feature in features if feature.name not in given]
    faults += [(f"/inputs/{escape(name)}", "missing_feature") for name in absent[:LIMIT]]
    if faults:
        raise TensorsRefused(faults[0][1], faults)


def _faults_of(tensor: Tensor, feature: Feature | None, rows: int) -> list[Fault]:
    if feature is None:
        return [(f"{tensor.path}/name", "unknown_feature")]
    if not takes(feature, tensor.datatype):
        return [(f"{tensor.path}/datatype", "datatype")]
    if len(tensor.shape) == 2 and tensor.shape[1] != 1:
        return [(f"{tensor.path}/shape", "shape")]
    return [] if tensor.shape[0] == rows else [(f"{tensor.path}/shape", "row_count")]
