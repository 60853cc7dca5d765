"""A result as the tensors of an answer, in JSON or in binary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from secureml.kit.protocols import Card

from .datatypes import DATATYPES, Datatype, of_predictions
from .elements import to_bytes
from .selection import PREDICTIONS, PROBABILITIES, Selection


class Result(Protocol):
    """What a model answered, as it is after SHAPE."""

    @property
    def predictions(self) -> list[Any]: ...
    @property
    def probabilities(self) -> list[list[float | None]] | None: ...


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of an answer; a value that was withheld is None."""

    name: str
    datatype: Datatype
    shape: list[int]
    values: list[Any]


def offered(card: Card) -> tuple[str, ...]:
    """Return the names of the outputs that a model has."""
    return (PREDICTIONS, PROBABILITIES) if card.has_probabilities else (PREDICTIONS,)


def outputs_of(result: Result, card: Card) -> dict[str, Output]:
    """Return every output by its name; withheld probabilities are none.

    Raises TypeError where the model's answers have no datatype.
    """
    answers = result.predictions
    shape, values = [len(answers)], answers
    if card.outputs:
        shape, values = [len(answers), card.outputs], list(chain.from_iterable(answers))
    datatype = DATATYPES[of_predictions(card)]
    found = {PREDICTIONS: Output(PREDICTIONS, datatype, shape, values)}
    rows = result.probabilities
    if rows is not None:
        flat: list[Any] = list(chain.from_iterable(rows))
        shape = [len(rows), len(rows[0])]
        found[PROBABILITIES] = Output(PROBABILITIES, DATATYPES["FP64"], shape, flat)
    return found


def written(
    outputs: dict[str, Output], selection: Selection
) -> tuple[list[dict[str, Any]], Sequence[bytes]]:
    """Return the selected outputs as JSON data, and the bytes of those that are binary, in order.

    In JSON a withheld value is null, in binary NaN.
    """
    listed, parts = [], []
    for name, binary in selection.outputs.items():
        output = outputs.get(name)
        if output is None:
            continue
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": output.datatype.name,
            "shape": output.shape,
        }
        if binary:
            parts.append(to_bytes(output.values, output.datatype))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            tensor["data"] = output.values
        listed.append(tensor)
    return listed, parts
