"""Which numbers choose how much memory a model in ONNX takes: never those of a caller's row.

Some operators make a tensor as large as one of their inputs says. Where that is known from the
file, or from the shapes of what is given, sealing has seen what it takes; where it is computed from
a row, one request could take all memory of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from secureml.models.boosters import protobuf

# The inputs by which these say how large their output is.
_SIZES: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Tile": (1,),
    "Range": (0, 1, 2),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Resize": (2, 3),
    "Upsample": (1,),
    "MaxUnpool": (2,),
    "Col2Im": (1, 2),
    "CenterCropPad": (1,),
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "HannWindow": (0,),
    "HammingWindow": (0,),
    "DFT": (1,),
    "STFT": (1, 3),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
}
_OF_SHAPES = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def sized_by_rows(model: memoryview) -> str:
    """Return an operator whose output is as large as a row says; "" where there is none.

    Raises ValueError for what is no model.
    """
    known: set[str] = {""}  # an input that is left out
    for kind, part in _in_order(model):
        if kind == "tensor":
            known.add(part.outputs[0])
            continue
        sizes = _SIZES.get(part.operator, ())
        if any(place < len(part.inputs) and part.inputs[place] not in known for place in sizes):
            return part.operator
        if part.operator in _OF_SHAPES or known.issuperset(part.inputs):
            known.update(part.outputs)
    return ""


def _in_order(model: memoryview) -> Iterator[tuple[str, _Node]]:
    """Yield tensors and nodes in the order in which they are computed."""
    for number, value in protobuf.fields(model):
        if number == 7:
            yield from _of_graph(protobuf.message(value))


def _of_graph(graph: memoryview) -> Iterator[tuple[str, _Node]]:
    found = list(protobuf.fields(graph))
    for number, value in found:
        if number in (5, 15):
            yield "tensor", _Node("", (), (_tensor_name(number, protobuf.message(value)),))
    for number, value in found:
        if number == 1:
            yield from _of_node(protobuf.message(value))


def _of_node(node: memoryview) -> Iterator[tuple[str, _Node]]:
    inputs, outputs, operator = [], [], ""
    for number, value in protobuf.fields(node):
        if number == 1:
            inputs.append(protobuf.text(value))
        elif number == 2:
            outputs.append(protobuf.text(value))
        elif number == 4:
            operator = protobuf.text(value)
        elif number == 5:
            yield from _graphs_below(protobuf.message(value))
    yield "node", _Node(operator, tuple(inputs), tuple(outputs))


def _graphs_below(attribute: memoryview) -> Iterator[tuple[str, _Node]]:
    for number, value in protobuf.fields(attribute):
        if number in (6, 11):
            yield from _of_graph(protobuf.message(value))


def _tensor_name(number: int, tensor: memoryview) -> str:
    """Return what a tensor is called; a sparse one has the name of its values."""
    for place, value in protobuf.fields(tensor):
        if number == 15 and place == 1:
            return _tensor_name(5, protobuf.message(value))
        if number == 5 and place == 8:
            return protobuf.text(value)
    return ""
