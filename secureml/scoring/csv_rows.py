"""Rows of an output file as CSV: commas, points, UTF-8, and the shortest text of each double.

Cells are written as they are: one that begins with ``=`` is a formula to a spreadsheet.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

from secureml.scoring.answers import text_of


def as_csv(columns: Sequence[Sequence[Any]]) -> bytes:
    """Return rows of these columns as lines, without a header."""
    plain = [_plain(column) for column in columns]
    text = _written(plain, csv.QUOTE_MINIMAL)
    if "\r" in text:  # before Python 3.13 a cell with nothing but this sign is not quoted
        text = _written(plain, csv.QUOTE_ALL)
    return text.encode()


def _written(columns: Sequence[Sequence[Any]], quoting: Literal[0, 1, 2, 3]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=quoting)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def header_line(names: Sequence[str]) -> bytes:
    """Return the first line of a file."""
    return as_csv([[name] for name in names])


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    return [text_of(cell) for cell in column] if bool in set(map(type, column)) else column
