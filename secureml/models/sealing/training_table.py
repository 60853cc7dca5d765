"""What can be learned from the columns of a table.

Strict, because ranges and categories become rules for every request: what is not plainly a
number, a truth value or missing is text.
What is a number and what is missing is what pandas makes of the same file: the model was
fitted on that. Codes with a leading zero are the exception: they are text (see `column_use`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Feature
from secureml.models.rows.dates import is_date
from secureml.models.sealing.table_file import MISSING, NUMBER, Column
from secureml.models.sealing.typed_columns import TypedColumn

CATEGORY_LIMIT = 200
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
# A code and no amount: postal codes, account numbers. "0" and "0.5" are numbers.
_CODE = re.compile(r"[+-]?0[0-9]+", re.ASCII)
TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# What may be said of a column. A categorical is a category that reaches the model as pandas' own.
TYPES = ("integer", "float", "boolean", "category", "categorical", "text", "date")
WORDS = "words"  # what we say ourselves: a category or a text, by how many there are
# Sixty-four bits: beyond them pandas has no whole numbers.
_LEAST, _MOST = -(2**63), 2**63 - 1
_EXAMPLES = 3  # how many words a refusal shows


def read_types(texts: Mapping[str, str], columns: Mapping[str, Any]) -> dict[str, str]:
    """Return what is said of columns with ``--types``, checked; raises ModelRefused("card")."""
    for name, word in texts.items():
        if name not in columns:
            raise _refuse(
                f"--types names {name!r}, which is not a feature of the model",
                f"the features are {', '.join(map(repr, list(columns)[:10]))}",
            )
        if word not in TYPES:
            raise _refuse(
                f"--types says that {name!r} is {word!r}, which is not a type of a feature",
                f"choose one of {', '.join(TYPES)}",
            )
    return dict(texts)


def is_code(column: Column) -> bool:
    """Tell whether a column holds whole numbers of which one begins with a zero, as in 02134."""
    if isinstance(column, TypedColumn):
        return False
    known = [cell.strip() for cell in column if cell not in MISSING]
    return any(map(_CODE.fullmatch, known)) and all(map(_INTEGER.fullmatch, known))


def is_truth(column: Column) -> bool:
    """Tell whether a column of a file holds nothing but words for true and false."""
    if isinstance(column, TypedColumn):
        return False
    return {cell for cell in column if cell not in MISSING} <= TRUTHS.keys()


def texts_of(column: Column) -> list[str]:
    """Return the cells of a column as a file would hold them, empty where missing."""
    if isinstance(column, TypedColumn):
        return ["" if cell is None else str(cell) for cell in column.cells]
    return column


def learn(name: str, column: Column, dtype: str | None = None) -> tuple[Feature, list[Any]]:
    """Return what a column teaches, and its cells as the JSON values a client would send.

    ``dtype`` is one of TYPES that is said of the column, or WORDS; None where its cells tell.
    """
    if isinstance(column, TypedColumn):
        if dtype is None and column.dtype != "str":
            return _learn_typed(name, column)
        dtype = dtype or WORDS
        known = [None if cell is None else str(cell) for cell in column.cells]
    else:
        known = [None if cell in MISSING else cell for cell in column]
    present = [cell for cell in known if cell is not None]
    if not present:
        raise _refuse(f"column {name!r} is empty", "leave the column out and fit again")
    if dtype is None:
        dtype = _plain_dtype(name, present)
    if dtype in ("integer", "float", "number"):
        return _learn_numbers(name, known, dtype)
    if dtype == "boolean":
        return _learn_truths(name, known, present)
    if dtype == "categorical" and all(map(_INTEGER.fullmatch, map(str.strip, present))):
        return _learn_whole_categories(name, [None if c is None else int(c) for c in known])
    return _learn_words(name, known, present, dtype), known


def values_of(feature: Feature, column: Column) -> list[Any]:
    """Return the cells of another table's column as values of a feature; None where missing.

    Raises ModelRefused("card") where one is none.
    """
    looked_up = feature.dtype == "integer" and feature.categories is not None
    return learn(feature.name, column, "categorical" if looked_up else feature.dtype)[1]


def _plain_dtype(name: str, present: list[str]) -> str:
    """Return what cells are that nobody has said anything of."""
    numbers = sum(map(_is_number, present))
    if numbers == len(present):
        return "number"
    if TRUTHS.keys() >= set(present):
        return "boolean"
    if 2 * numbers > len(present):
        # As words, every number of the table would be a category and every other refused.
        raise _numbers_but_for(name, [cell for cell in present if not _is_number(cell)])
    return WORDS


def _learn_truths(
    name: str, cells: list[str | None], present: list[str]
) -> tuple[Feature, list[Any]]:
    if not TRUTHS.keys() >= set(present):
        raise _not_all(name, present, TRUTHS.keys(), "true or false")
    return Feature(name, "boolean", missing=_missing(cells)), [
        None if cell is None else TRUTHS[cell] for cell in cells
    ]


def _learn_typed(name: str, column: TypedColumn) -> tuple[Feature, list[Any]]:
    """Return what a column of a known type teaches: the type is kept."""
    cells, dtype, missing = column.cells, column.dtype, _missing(column.cells)
    present = [cell for cell in cells if cell is not None]
    if not present:
        raise _refuse(f"column {name!r} is empty", "leave the column out and fit again")
    if column.categories is not None and type(column.categories[0]) is str:
        words = tuple(map(str, column.categories))
        return Feature(
            name, "category", categories=words, missing=missing, frame_dtype="category"
        ), cells
    if column.categories is not None:
        return _learn_whole_categories(name, cells, column.categories)
    if dtype.startswith("datetime64"):
        return Feature(name, "date", missing=missing, frame_dtype=dtype), cells
    if dtype == "bool":
        return Feature(name, "boolean", missing=missing), cells
    kind: Any = "integer" if "int" in dtype else "float"
    usual = dtype in ("int64", "float64")
    feature = Feature(
        name, kind, min(present), max(present), missing=missing, frame_dtype="" if usual else dtype
    )
    return feature, cells


def _learn_whole_categories(
    name: str, cells: list[Any], categories: tuple[Any, ...] | None = None
) -> tuple[Feature, list[Any]]:
    """Return a category of whole numbers, which reaches the model as pandas' own."""
    known = categories or tuple(sorted({cell for cell in cells if cell is not None}))
    return Feature(
        name, "integer", categories=known, missing=_missing(cells), frame_dtype="category"
    ), cells


def _learn_numbers(name: str, cells: list[str | None], dtype: str) -> tuple[Feature, list[Any]]:
    present = [cell.strip() for cell in cells if cell is not None]
    words = [cell for cell in present if not _is_number(cell)]
    if words:
        raise _numbers_but_for(name, words)
    whole = all(cell in _WHOLE for cell in present)
    if dtype == "integer" and not whole:
        raise _not_all(name, present, _WHOLE, "a whole number of 64 bits")
    whole = whole and dtype != "float"
    numbers = [None if cell is None else _number(name, cell, whole=whole) for cell in cells]
    known = [number for number in numbers if number is not None]
    kind: Any = "integer" if whole else "float"
    return Feature(name, kind, min(known), max(known), missing=_missing(cells)), numbers


def _learn_words(name: str, cells: list[str | None], present: list[str], dtype: str) -> Feature:
    missing = _missing(cells)
    if dtype == "date":
        if not all(map(is_date, present)):
            others = [cell for cell in present if not is_date(cell)]
            raise _not_all(name, others, (), "a date such as 2026-01-31 or 2026-01-31T12:00:00")
        return Feature(name, "date", missing=missing)
    distinct = tuple(sorted(set(present)))
    if dtype == "text" or (dtype == WORDS and len(distinct) > CATEGORY_LIMIT):
        return Feature(name, "text", missing=missing)
    kept = "category" if dtype == "categorical" else ""
    return Feature(name, "category", categories=distinct, missing=missing, frame_dtype=kept)


class _Whole:
    """Every text that is a whole number of 64 bits."""

    def __contains__(self, cell: str) -> bool:
        # Twenty characters first: Python refuses to read thousands of digits.
        return (
            _INTEGER.fullmatch(cell) is not None
            and len(cell.lstrip("+-0")) < 20
            and _LEAST <= int(cell) <= _MOST
        )


_WHOLE = _Whole()


def _missing(cells: list[Any]) -> Any:
    return "allow" if None in cells else "refuse"


def _is_number(cell: str) -> bool:
    # Blanks around a number are nothing to pandas, either.
    return NUMBER.fullmatch(cell.strip()) is not None


def _number(name: str, cell: str, *, whole: bool) -> float:
    number = int(cell) if whole else float(cell)
    if not math.isfinite(number):
        raise _refuse(f"column {name!r} holds a number too large", "correct the table")
    return number


def _numbers_but_for(name: str, words: list[str]) -> ModelRefused:
    return _refuse(
        f"column {name!r} holds numbers, and in {len(words)} of its cells "
        f"{_quote_most_common(words)}, which is neither a number nor a word for a missing value",
        "correct these cells, or leave them empty where nothing is known; if the model was "
        f"fitted on the column as text, seal with --types {name}=category (or text)",
    )


def _not_all(name: str, cells: list[str], kind: Any, what: str) -> ModelRefused:
    others = [cell for cell in cells if cell not in kind]
    return _refuse(
        f"column {name!r} holds in {len(others)} of its cells {_quote_most_common(others)}, "
        f"and --types says that it is {what}",
        f"correct these cells, or leave {name}= out of --types",
    )


def _quote_most_common(words: list[str]) -> str:
    counts = Counter(words).most_common(_EXAMPLES + 1)
    quoted = [repr(word[:40]) for word, _ in counts[:_EXAMPLES]]
    return ", ".join(quoted) + (" and others" if len(counts) > _EXAMPLES else "")


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
