"""Plain values inside nodes, as JSON says them, and references to nodes.

=====================  ========================================================
JSON                   means
=====================  ========================================================
``null true "text"``   None, a truth value, text
``[5]``, ``[0.5]``     a whole number of a machine word, a finite float
``5``                  the node with the index 5
=====================  ========================================================

A float is written by its shortest text that reads back as the same float, to the bit.
"""

from __future__ import annotations

import math
from typing import Any

LARGEST = 2**63  # a whole number beyond a machine word is a node of its own


def is_inline(value: Any) -> bool:
    """Return whether a value is written inside the node that holds it; by its exact type."""
    kind = type(value)
    if kind is int:
        return bool(-LARGEST <= value < LARGEST)
    if kind is float:
        return math.isfinite(value)
    return value is None or kind in (bool, str)


def written(value: Any) -> Any:
    """Return an inline value as JSON has it."""
    return [value] if type(value) in (int, float) else value


def is_item(item: Any) -> bool:
    """Return whether JSON says an inline value or a reference."""
    kind = type(item)
    if kind is list:
        return len(item) == 1 and type(item[0]) in (int, float) and is_inline(item[0])
    return item is None or kind in (bool, str) or (kind is int and item >= 0)


def is_reference(item: Any) -> bool:
    """Return whether an item refers to a node."""
    return type(item) is int
