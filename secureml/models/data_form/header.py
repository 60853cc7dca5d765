"""The header of a form: JSON with one meaning (RFC 7493).

The same rules as in ``secureml.kit.strict_json``, which models, below the kit, cannot import.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parsed(text: bytes) -> dict[str, Any]:
    """Return the object in a JSON text; raises ValueError.

    Also for a name given twice, NaN or Infinity, a lone surrogate, bytes that are not UTF-8, and
    nesting that is too deep.
    """
    try:
        found = json.loads(
            text.decode("utf-8"), object_pairs_hook=_each_name_once, parse_constant=_no_constant
        )
        # A lone surrogate is no text, and fails wherever it is written down later.
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
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
