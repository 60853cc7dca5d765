"""JSON with one meaning: what two readers could read differently is refused (RFC 7493)."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(data: bytes | str) -> Any:
    """Return what a JSON text holds.

    Raises ValueError for a name given twice, NaN or Infinity, a lone surrogate, bytes that are
    not UTF-8, and nesting that is too deep.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        found = json.loads(text, object_pairs_hook=_each_name_once, parse_constant=_no_constant)
        # A lone surrogate is no text, and fails wherever it is written down later.
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return found


def loads_object(data: bytes | str) -> dict[str, Any]:
    """Return the object in a JSON text; raises ValueError, also for any other kind of value."""
    found = loads(data)
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of exception for bad text
    return found


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")
