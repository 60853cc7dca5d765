"""A CSV table with a header row, and what can be learned from its columns.

Strict, because ranges and categories become rules for every request: names are unique, rows
are of one length, and what is not plainly a number, a truth value or missing is text.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import ModelRefused
from .card import Feature

TABLE_LIMIT = 512 * 1024**2
CATEGORY_LIMIT = 200
COLUMN_LIMIT = 10_000
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_ANSWER_NAMES = frozenset({"target", "label", "class", "y", "answer"})
_MISSING = frozenset({"", "nan", "NaN"})


@dataclass(frozen=True)
class Table:
    """Columns of text, by name, in the file's order."""

    columns: dict[str, list[str]]
    length: int


def read_table(path: Path) -> Table:
    """Read a CSV file (UTF-8, comma, header row); raises ModelRefused("card")."""
    try:
        if path.stat().st_size > TABLE_LIMIT:
            raise _refuse(f"the table is larger than {TABLE_LIMIT} bytes", "give a sample of it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            _check_header(header)
            rows = list(_rows(lines, len(header)))
    except (OSError, ValueError, csv.Error) as error:
        raise _refuse(
            f"the table cannot be read ({error})", "give a CSV file in UTF-8 with a header row"
        ) from None
    if not rows:
        raise _refuse("the table has no rows", "give at least one row")
    columns = zip(*rows, strict=True)
    return Table(
        {name: list(column) for name, column in zip(header, columns, strict=True)}, len(rows)
    )


def _rows(lines: Any, width: int) -> Iterator[list[str]]:
    """Return the rows one by one, so that the first one too long ends the reading."""
    for row in lines:
        if row and len(row) != width:
            raise _refuse(
                f"line {lines.line_num} of the table has {len(row)} cells, the header has {width}",
                "make every row as long as the header",
            )
        if row:
            yield row


def choose_columns(
    table: Table,
    target: str | None,
    names: list[str] | None,
    width: int,
    classes: tuple[Any, ...] | None = None,
) -> dict[str, list[str]]:
    """Return the feature columns in the model's order; raises ModelRefused("card")."""
    if target is not None and target not in table.columns:
        raise _refuse(f"the table has no column {target!r}", "name the answer's column by target")
    if target is None:
        target = _answer_column(table, names, width, classes)
    offered = {name: column for name, column in table.columns.items() if name != target}
    if names is None:
        if len(offered) != width:
            raise _refuse(
                f"the table has {len(offered)} columns and the model takes {width}",
                "name the answer's column with --target, or remove what is no feature",
            )
        return offered
    absent = [name for name in names if name not in offered]
    surplus = [name for name in offered if name not in set(names)]
    if absent or surplus:
        what = f"lacks {absent[0]!r}" if absent else f"has {surplus[0]!r}, which is no feature"
        raise _refuse(
            f"the table {what}",
            "give the columns the model was fitted on; name the answer's column with --target",
        )
    return {name: offered[name] for name in names}


def _answer_column(
    table: Table, names: list[str] | None, width: int, classes: tuple[Any, ...] | None
) -> str | None:
    """Return the one column that can only be the answer; None where a person must say."""
    if names is not None:
        surplus = [name for name in table.columns if name not in set(names)]
        return surplus[0] if len(surplus) == 1 and len(table.columns) == width + 1 else None
    last = next(reversed(table.columns))
    if len(table.columns) != width + 1:
        return None
    known = {label for label in classes or () if type(label) is not bool}
    cells = {float(cell) if _NUMBER.fullmatch(cell) else cell for cell in table.columns[last]}
    holds_classes = bool(known) and (cells <= known or set(table.columns[last]) <= known)
    return last if holds_classes or last.lower() in _ANSWER_NAMES else None


def learn(name: str, cells: list[str]) -> tuple[Feature, list[Any]]:
    """Return what a column teaches, and its cells as the JSON values a client would send."""
    present = [cell for cell in cells if cell not in _MISSING]
    missing: Any = "refuse" if len(present) == len(cells) else "allow"
    if not present:
        raise _refuse(f"column {name!r} is empty", "leave the column out and fit again")
    if all(map(_NUMBER.fullmatch, present)):
        whole = all(map(_INTEGER.fullmatch, present))
        numbers = [None if cell in _MISSING else _number(name, cell) for cell in cells]
        known = [number for number in numbers if number is not None]
        return Feature(
            name, "integer" if whole else "float", min(known), max(known), missing=missing
        ), numbers
    if _TRUTHS.keys() >= set(present):
        return Feature(name, "boolean", missing=missing), [_TRUTHS.get(cell) for cell in cells]
    texts = [cell or None for cell in cells]
    distinct = sorted({text for text in texts if text is not None})
    missing = "allow" if None in texts else "refuse"  # "nan" among words is a word
    if len(distinct) > CATEGORY_LIMIT:
        return Feature(name, "text", missing=missing), texts
    return Feature(name, "category", categories=tuple(distinct), missing=missing), texts


def _number(name: str, cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise _refuse(f"column {name!r} holds a number too large", "correct the table")
    return number


def _check_header(header: list[str]) -> None:
    if not header or not all(name.strip() for name in header):
        raise _refuse("the header row has an empty name", "name every column")
    if len(header) > COLUMN_LIMIT:
        raise _refuse(
            f"the header row has {len(header)} columns, more than {COLUMN_LIMIT}",
            "leave out the columns that the model does not use",
        )
    seen: set[str] = set()
    for name in header:
        if name in seen:
            raise _refuse(f"the header row has {name!r} twice", "give each column its own name")
        seen.add(name)
    if all(map(_NUMBER.fullmatch, header)):
        raise _refuse("the first row holds numbers, not names", "put a header row first")


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
