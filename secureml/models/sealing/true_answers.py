"""True answers of rows, as texts of a table, read as the model would give them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from secureml.models.card import Card

Reader = Callable[[str], Any]


def answer_reader(card: Card) -> Reader:
    """Return what reads one cell: a class of the card, or a finite number; None for any other.

    1 and 1.0 are one class where classes are numbers, true and True where they are truth values.
    """
    if not card.classes:
        return _number
    by_text = {str(label): label for label in card.classes}
    truths = all(type(label) is bool for label in card.classes)
    numbers = {float(label): label for label in card.classes if type(label) in (int, float)}

    def read(cell: str) -> Any:
        text = cell.strip()
        if text in by_text:
            return by_text[text]
        if truths:
            return by_text.get(text.capitalize())
        number = _number(text)
        return None if number is None else numbers.get(number)

    return read


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
