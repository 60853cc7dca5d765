"""Text as a model should see it: no control characters, and not longer than was agreed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# C0 and C1 but for tab, line feed and carriage return, which are spaces in people's text; the
# bidirectional overrides that make text read otherwise than it is (CVE-2021-42574); the byte
# order mark; and the code points that are no characters.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufdd0-\ufdef\ufffe\uffff]"
)


def clean(text: str) -> str:
    """Return a text without control characters; twice is once."""
    return _CONTROL.sub("", text)


def unclean(cells: Iterable[Any]) -> list[int]:
    """Return the places of texts with control characters; what is no text has none."""
    texts = [cell if type(cell) is str else "" for cell in cells]
    # One look over all of them: nearly always there is nothing to be found.
    if _CONTROL.search("".join(texts)) is None:
        return []
    return [index for index, text in enumerate(texts) if _CONTROL.search(text)]


def too_long(cells: Iterable[Any], limit: int) -> list[int]:
    """Return the places of texts of more than ``limit`` characters (code points)."""
    return [index for index, cell in enumerate(cells) if type(cell) is str and len(cell) > limit]
