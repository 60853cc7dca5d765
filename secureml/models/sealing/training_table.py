"""What can be learned from the columns of a table.

Strict, because ranges and categories become rules for every request: what is not plainly a
number, a truth value or missing is text.
What is a number and what is missing is what pandas makes of the same file: the model was
fitted on that. Where a column could be meant in two ways, whoever seals has to say which.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast, get_args

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Dtype, Feature
from secureml.models.sealing.table_file import NUMBER, ROW_NUMBERS, WITHOUT_ROW_NUMBERS, Table

CATEGORY_LIMIT = 200
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
# A code and no amount: postal codes, account numbers. "0" and "0.5" are numbers.
_CODE = re.compile(r"[+-]?0[0-9]+", re.ASCII)
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_ANSWER_NAMES = frozenset({"target", "label", "class", "y", "answer"})
# What pandas.read_csv takes for missing, unless it is told otherwise.
MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
# Sixty-four bits: beyond them pandas has no whole numbers.
_LEAST, _MOST = -(2**63), 2**63 - 1
_EXAMPLES = 3  # how many words a refusal shows


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
                "name the answer's column with --target, or remove what is not a feature",
            )
        return offered
    absent = [name for name in names if name not in offered]
    surplus = [name for name in offered if name not in set(names)]
    numbered = next(filter(ROW_NUMBERS.fullmatch, surplus), None)
    if numbered is not None:
        raise _refuse(
            f"the table has {numbered!r}, which is not a feature: it is pandas' name for a column "
            "of row numbers",
            WITHOUT_ROW_NUMBERS,
        )
    if absent or surplus:
        what = f"lacks {absent[0]!r}" if absent else f"has {surplus[0]!r}, which is not a feature"
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
    cells = {float(cell) if NUMBER.fullmatch(cell) else cell for cell in table.columns[last]}
    holds_classes = bool(known) and (cells <= known or set(table.columns[last]) <= known)
    return last if holds_classes or last.lower() in _ANSWER_NAMES else None


def read_dtypes(texts: Mapping[str, str], columns: Mapping[str, Any]) -> dict[str, Dtype]:
    """Return what whoever seals says of columns, checked; raises ModelRefused("card")."""
    for name, word in texts.items():
        if name not in columns:
            raise _refuse(
                f"--dtype names {name!r}, which is not a feature of the model",
                f"the features are {', '.join(map(repr, list(columns)[:10]))}",
            )
        if word not in get_args(Dtype):
            raise _refuse(
                f"--dtype says that {name!r} is {word!r}, which is not a dtype of a feature",
                f"choose one of {', '.join(get_args(Dtype))}",
            )
    return cast("dict[str, Dtype]", dict(texts))


def learn(name: str, cells: list[str], dtype: Dtype | None = None) -> tuple[Feature, list[Any]]:
    """Return what a column teaches, and its cells as the JSON values a client would send.

    ``dtype`` is what whoever seals says of the column; None where its cells tell.
    """
    known = [None if cell in MISSING else cell for cell in cells]
    present = [cell for cell in known if cell is not None]
    if not present:
        raise _refuse(f"column {name!r} is empty", "leave the column out and fit again")
    numbers = sum(map(_is_number, present))
    if dtype in ("integer", "float") or (dtype is None and numbers == len(present)):
        return _learn_numbers(name, known, dtype)
    truths = _TRUTHS.keys() >= set(present)
    if dtype == "boolean" or (dtype is None and truths):
        if not truths:
            raise _not_all(name, present, _TRUTHS.keys(), "true or false")
        return Feature(name, "boolean", missing=_missing(known)), [
            None if cell is None else _TRUTHS[cell] for cell in known
        ]
    if dtype is None and 2 * numbers > len(present):
        # As words, every number of the table would be a category and every other refused.
        raise _numbers_but_for(name, [cell for cell in present if not _is_number(cell)])
    return _learn_words(name, known, dtype), known


def _learn_numbers(
    name: str, cells: list[str | None], dtype: Dtype | None
) -> tuple[Feature, list[Any]]:
    present = [cell.strip() for cell in cells if cell is not None]
    words = [cell for cell in present if not _is_number(cell)]
    if words:
        raise _numbers_but_for(name, words)
    whole = all(map(_INTEGER.fullmatch, present))
    coded = next((cell for cell in present if _CODE.fullmatch(cell)), None)
    if dtype is None and whole and coded is not None:
        # pandas reads 01001 as 1001: right for a number and wrong for a code.
        raise _refuse(
            f"column {name!r} holds {coded!r}, a whole number that begins with a zero: "
            "pandas reads it as a number, and a code such as a postal code is text",
            f"if the model was fitted on text, seal with --dtype {name}=category (or text); "
            f"if on numbers, with --dtype {name}=integer",
        )
    whole = all(cell in _WHOLE for cell in present)
    if dtype == "integer" and not whole:
        raise _not_all(name, present, _WHOLE, "a whole number of 64 bits")
    whole = whole and dtype != "float"
    numbers = [None if cell is None else _number(name, cell, whole=whole) for cell in cells]
    known = [number for number in numbers if number is not None]
    kind: Dtype = "integer" if whole else "float"
    return Feature(name, kind, min(known), max(known), missing=_missing(cells)), numbers


def _learn_words(name: str, cells: list[str | None], dtype: Dtype | None) -> Feature:
    distinct = sorted({cell for cell in cells if cell is not None})
    if dtype == "text" or (dtype is None and len(distinct) > CATEGORY_LIMIT):
        return Feature(name, "text", missing=_missing(cells))
    return Feature(name, "category", categories=tuple(distinct), missing=_missing(cells))


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


def _missing(cells: list[str | None]) -> Any:
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
        f"fitted on the column as text, seal with --dtype {name}=category (or text)",
    )


def _not_all(name: str, cells: list[str], kind: Any, what: str) -> ModelRefused:
    others = [cell for cell in cells if cell not in kind]
    return _refuse(
        f"column {name!r} holds in {len(others)} of its cells {_quote_most_common(others)}, "
        f"and --dtype says that it is {what}",
        f"correct these cells, or leave --dtype {name}= out",
    )


def _quote_most_common(words: list[str]) -> str:
    counts = Counter(words).most_common(_EXAMPLES + 1)
    quoted = [repr(word[:40]) for word, _ in counts[:_EXAMPLES]]
    return ", ".join(quoted) + (" and others" if len(counts) > _EXAMPLES else "")


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
