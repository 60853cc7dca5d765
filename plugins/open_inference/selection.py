"""Which outputs a request selects, and which of them it wants in binary."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .refusal import LIMIT, Fault, TensorsRefused, refused
from .tensors import check_parameters, flag

PREDICTIONS, PROBABILITIES = "predictions", "probabilities"


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer that a request asks for: outputs in its order, each with whether it is binary.

    ``request_id`` is the client's own, "" where it gave none.
    """

    request_id: str
    outputs: Mapping[str, bool]


def read_selection(envelope: Mapping[str, Any], offered: Sequence[str]) -> Selection:
    """Return what a request selects of the outputs that a model offers; all where it says none.

    Raises TensorsRefused.
    """
    parameters = envelope.get("parameters", {})
    check_parameters(parameters, {"binary_data_output", "content_type"}, "/parameters")
    binary = flag(parameters, "binary_data_output", "/parameters", otherwise=False)
    outputs = envelope.get("outputs", [])
    if type(outputs) is not list:
        raise refused("/outputs", "type")
    selected = _selected(outputs, offered, binary=binary) or dict.fromkeys(offered, binary)
    return Selection(envelope.get("id", ""), selected)


def _selected(outputs: Sequence[Any], offered: Collection[str], *, binary: bool) -> dict[str, bool]:
    found: dict[str, bool] = {}
    faults: list[Fault] = []
    for number, raw in enumerate(outputs):
        path = f"/outputs/{number}"
        try:
            name, is_binary = _output(raw, offered, path, binary=binary)
        except TensorsRefused as wrong:
            faults += wrong.faults
        else:
            if name in found:
                faults.append((f"{path}/name", "duplicate"))
            found[name] = is_binary
        if len(faults) >= LIMIT:
            break
    if faults:
        raise TensorsRefused(faults[0][1], faults)
    return found


def _output(raw: Any, offered: Collection[str], path: str, *, binary: bool) -> tuple[str, bool]:
    if type(raw) is not dict:
        raise refused(path, "type")
    if not raw.keys() <= {"name", "parameters"}:
        raise refused(path, "unknown_key")
    name, parameters = raw.get("name"), raw.get("parameters", {})
    if type(name) is not str or name not in offered:
        raise refused(f"{path}/name", "unknown_output")
    where = f"{path}/parameters"
    check_parameters(parameters, {"binary_data", "content_type"}, where)
    return name, flag(parameters, "binary_data", where, otherwise=binary)
