"""Cells of a CSV file as the JSON values that a client would send for them.

What is missing and what is a number is what sealing makes of the same file. A cell that is not as
its feature says is left the text it is, so that the card's own rules refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from secureml.models.card import Feature
from secureml.models.sealing.table_file import MISSING, NUMBER
from secureml.models.sealing.training_table import TRUTHS

# Digits that Python reads as one whole number without a limit being raised; a double has less.
_MOST_DIGITS = 400
_INTEGER = re.compile(rf"[+-]?[0-9]{{1,{_MOST_DIGITS}}}", re.ASCII)
DIGITS = b"0123456789+-"
NUMERIC = DIGITS + b".eE"


def value_of(feature: Feature, text: str, decimal: str = ".") -> Any:
    """Return a cell as a JSON value, None where it is missing."""
    if text in MISSING:
        return None
    if feature.dtype in ("float", "integer"):
        return _number(text, decimal, whole=feature.dtype == "integer")
    return TRUTHS.get(text, text) if feature.dtype == "boolean" else text


def values_of(feature: Feature, texts: Sequence[str], decimal: str = ".") -> list[Any]:
    """Return the cells of a column as `value_of` does each of them."""
    if feature.dtype in ("float", "integer") and decimal == ".":
        found = _numbers_at_once(texts, whole=feature.dtype == "integer")
        if found is not None:
            return found
    if feature.dtype in ("float", "integer", "boolean"):
        return [value_of(feature, text, decimal) for text in texts]
    if MISSING.isdisjoint(texts):
        return list(texts)
    return [None if text in MISSING else text for text in texts]


def is_made_of(content: bytes, letters: bytes) -> bool:
    """Tell whether there is nothing but these letters."""
    return not content.translate(None, letters)


def _numbers_at_once(texts: Sequence[str], *, whole: bool) -> list[Any] | None:
    """Return plain numbers, None where a cell must be looked at by itself."""
    if not whole:
        return floats_of(texts)
    joined = "".join(texts).encode("utf-8", "surrogatepass")
    if not is_made_of(joined, DIGITS) or max(map(len, texts), default=0) > _MOST_DIGITS:
        return None
    try:
        return list(map(int, texts))
    except ValueError:  # an empty cell, or no number
        return None


def floats_of(texts: Sequence[str]) -> list[float] | None:
    """Return plain numbers as doubles, None where a cell must be looked at by itself."""
    if not is_made_of("".join(texts).encode("utf-8", "surrogatepass"), NUMERIC):
        return None
    try:
        # float() takes these letters as NUMBER does, and nothing else that is made of them.
        return list(map(float, texts))
    except ValueError:
        return None


def _number(text: str, decimal: str, *, whole: bool) -> Any:
    plain = text.strip()
    if decimal == ",":
        if "." in plain:
            return text  # 1.234 may be a thousand and more, and nobody here can know
        plain = plain.replace(",", ".")
    if whole and _INTEGER.fullmatch(plain):
        return int(plain)
    return float(plain) if NUMBER.fullmatch(plain) else text
