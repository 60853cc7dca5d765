"""Where in the model a node stands, for messages alone: ``steps[1].estimators_[3].tree_``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from secureml.models.data_form.items import is_reference

_LONGEST = 12  # steps


def place_of(nodes: Sequence[Any], index: int) -> str:
    """Return the place of a node in the model, by the first of what refers to it.

    The table may be one that was not checked; where no way leads to the last node, the place is
    "node 7" or a part of the way.
    """
    steps: list[str] = []
    wanted = index
    for holder in range(index + 1, len(nodes)):
        step = next((step for step, item in _held(nodes[holder]) if item == wanted), None)
        if step is not None:
            steps.append(step)
            wanted = holder
    if wanted != len(nodes) - 1:
        return f"node {index}"
    path = "".join(reversed(steps[-_LONGEST:])).removeprefix(".")
    return path or "the model"


def _held(node: Any) -> Iterator[tuple[str, int]]:
    """Return each reference of a node, with the step that leads to it."""
    if type(node) is not list or not node:
        return
    kind, *parts = node
    for part in parts:
        if type(part) is dict:
            yield from (
                (f".{name[:60]}", item) for name, item in part.items() if is_reference(item)
            )
        elif type(part) is list and kind not in ("array", "scalar"):
            yield from (
                (f"[{place}]", item) for place, item in enumerate(part) if is_reference(item)
            )
    if kind in ("masked", "compiled", "booster", "slice", "range"):
        yield from (("", part) for part in parts if is_reference(part))
