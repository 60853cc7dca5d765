"""A model in ONNX, and the check of it before onnxruntime reads it.

What onnxruntime would fetch from elsewhere or run beyond the standard is refused: tensors in other
files, operators and functions of others, loops. The numbers of fields are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from secureml.models.boosters import protobuf
from secureml.models.boosters.onnx_sizes import sized_by_rows
from secureml.models.boosters.refusal import not_served, refuse

_LIBRARY = "ONNX"
_MOST_NODES = 100_000
_DEEPEST = 8  # graphs inside graphs
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_LOOPS = frozenset({"Loop", "Scan"})
_LABELS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
# Messages that may hold tensors, and the fields by which: (what they are, of what).
_MODEL, _GRAPH, _NODE = "model", "graph", "node"
_ATTRIBUTE, _TENSOR, _SPARSE = "attribute", "tensor", "sparse"
_BELOW: dict[str, dict[int, str]] = {
    _MODEL: {7: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 10: _TENSOR, 6: _GRAPH, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}


@dataclass
class Facts:
    """What a check has found: the labels of classes, by their order, and how many nodes."""

    labels: tuple[int | str, ...] | None = None
    nodes: int = 0


def is_onnx(content: bytes) -> bool:
    """Tell whether bytes begin as a model in ONNX does: with its version, then texts or a graph."""
    try:
        found = protobuf.fields(memoryview(content)[:4096])
        number, value = next(found)
        return number == 1 and isinstance(value, int) and 3 <= value <= 100
    except (ValueError, StopIteration):
        return False


def check(content: bytes) -> Facts:
    """Refuse a model that reaches beyond itself; raises ModelRefused."""
    facts = Facts()
    try:
        _check_model(memoryview(content))
        for kind, part, depth in _parts(memoryview(content), _MODEL, 0):
            if depth > _DEEPEST:
                raise ValueError("its graphs are nested too deeply")
            check_part = _CHECKS.get(kind)
            if check_part is not None:
                check_part(part, facts)
        sized = sized_by_rows(memoryview(content))  # last: of graphs that are nested too deeply
    except (ValueError, RecursionError) as error:
        raise refuse(_LIBRARY, f"cannot be read ({error})") from None
    if sized:
        raise not_served(
            _LIBRARY,
            f"has the operator {sized}, whose output is as large as a number of a row says: one "
            "request could take all memory",
            "export it with sizes that are constants or come from shapes",
        )
    if not facts.nodes:
        raise refuse(_LIBRARY, "has no node")
    return facts


def _parts(data: memoryview, kind: str, depth: int) -> Iterator[tuple[str, memoryview, int]]:
    waiting = [(kind, data, depth)]
    while waiting:
        kind, part, depth = waiting.pop()
        yield kind, part, depth
        for number, value in protobuf.fields(part):
            below = _BELOW[kind].get(number)
            if below is not None:
                deeper = depth + (below == _GRAPH)
                waiting.append((below, protobuf.message(value), deeper))


def _check_model(model: memoryview) -> None:
    for number, value in protobuf.fields(model):
        if number == 25:
            raise _beyond("functions of its own")
        if number == 20:
            raise _beyond("a graph for training")
        if number == 8:
            domains = [
                protobuf.text(found)
                for place, found in protobuf.fields(protobuf.message(value))
                if place == 1
            ]
            _check_domain("".join(domains))


def _check_domain(domain: str) -> None:
    if domain not in _DOMAINS:
        raise _beyond(f"operators of {domain[:60]!r}")


def _beyond(what: str) -> Exception:
    return not_served(
        _LIBRARY,
        f"has {what}",
        "export it with the operators of ai.onnx and ai.onnx.ml alone, all in one file",
    )


def _check_node(node: memoryview, facts: Facts) -> None:
    facts.nodes += 1
    if facts.nodes > _MOST_NODES:
        raise ValueError(f"it has more than {_MOST_NODES} nodes")
    for number, value in protobuf.fields(node):
        if number == 7:
            _check_domain(protobuf.text(value))
        if number == 4 and protobuf.text(value) in _LOOPS:
            raise _beyond(f"the operator {protobuf.text(value)}, which may go on without end")


def _check_tensor(tensor: memoryview, facts: Facts) -> None:
    for number, value in protobuf.fields(tensor):
        if number == 13 or (number == 14 and value != 0):
            raise _beyond("numbers in another file")


def _note_labels(attribute: memoryview, facts: Facts) -> None:
    found = list(protobuf.fields(attribute))
    name = next((protobuf.text(value) for number, value in found if number == 1), "")
    if name not in _LABELS:
        return
    labels: list[int | str] = [protobuf.text(value) for number, value in found if number == 9]
    for number, value in found:
        if number == 8:
            labels += [each - 2**64 if each >= 2**63 else each for each in protobuf.numbers(value)]
    if labels:
        facts.labels = tuple(labels)


_CHECKS: dict[str, Callable[[memoryview, Facts], None]] = {
    _NODE: _check_node,
    _TENSOR: _check_tensor,
    _ATTRIBUTE: _note_labels,
}
