"""Which columns of a table are the model's features, and which one is the answer.

Row numbers that pandas wrote into the file are noticed and left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.table_file import (
    NUMBER,
    ROW_NUMBERS,
    UNNAMED,
    WITHOUT_ROW_NUMBERS,
    Column,
    Table,
)
from secureml.models.sealing.training_table import texts_of

_ANSWER_NAMES = frozenset({"target", "label", "class", "y", "answer"})
_SHOWN = 8  # names of columns in one message


class Chosen(NamedTuple):
    """The feature columns in the model's order, and what an operator should know of the choice."""

    columns: dict[str, Column]
    notes: tuple[str, ...]


def choose_columns(
    table: Table,
    target: str | None,
    names: list[str] | None,
    width: int,
    classes: tuple[Any, ...] | None = None,
) -> Chosen:
    """Return the feature columns in the model's order; raises ModelRefused("card")."""
    if target is not None and target not in table.columns:
        raise _refuse(
            f"the table has no column {target!r}; it has {_listed(table.columns)}",
            "name the answer's column with --target",
        )
    numbers = _row_numbers(table, target, names, width, classes)
    notes: tuple[str, ...] = ()
    if numbers is not None:
        rest = {name: cells for name, cells in table.columns.items() if name != numbers}
        table = Table(rest, table.length, table.dialect)
        called = "has no name and" if numbers == UNNAMED else f"is {numbers!r}, which"
        told = f"the first column of the table {called} holds row numbers, as pandas writes them; "
        notes = (f"{told}the model was not fitted on it, and it is left out",)
    return Chosen(_features(table, target, names, width, classes), notes)


def _row_numbers(
    table: Table,
    target: str | None,
    names: list[str] | None,
    width: int,
    classes: tuple[Any, ...] | None,
) -> str | None:
    """Return the first column where it holds row numbers and is no feature."""
    first, column = next(iter(table.columns.items()))
    if first == target or first in (names or ()) or len(table.columns) == 1:
        return None
    unnamed = ROW_NUMBERS.fullmatch(first) is not None
    if names is not None:
        return first if unnamed or _counts_up(column) else None
    others = len(table.columns) - 1 - (target is not None)
    if target is None and others == width and _answer_column(table, None, width, classes):
        return None  # it is a feature then, unless somebody says otherwise
    return first if unnamed and others in (width, width + 1) else None


def _counts_up(column: Column) -> bool:
    return texts_of(column) == [str(number) for number in range(len(texts_of(column)))]


def _other_columns(absent: list[str], surplus: list[str], target: str | None) -> ModelRefused:
    """Return the refusal of a table with other columns than the model was fitted on."""
    if absent:
        what = f"lacks {_listed(absent)}, which the model was fitted on"
        fix = "give a table with these columns"
    else:
        what = f"has {_listed(surplus)}, which the model was not fitted on"
        fix = f"write the table without {'it' if len(surplus) == 1 else 'them'}"
    named = "" if target else "; name the answer's column with --target"
    return _refuse(f"the table {what}", f"{fix}{named}")


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(map(repr, found[:_SHOWN])) + more


def _features(
    table: Table,
    target: str | None,
    names: list[str] | None,
    width: int,
    classes: tuple[Any, ...] | None,
) -> dict[str, Column]:
    if target is None:
        target = _answer_column(table, names, width, classes)
    offered = {name: column for name, column in table.columns.items() if name != target}
    if names is None:
        if next(iter(offered)) == UNNAMED:
            raise _refuse(
                "the first column of the header row has no name: pandas writes the row numbers "
                "there, and the model takes as many columns as there are with it",
                WITHOUT_ROW_NUMBERS,
            )
        if len(offered) != width:
            raise _refuse(
                f"the table has {len(offered)} columns and the model takes {width}",
                "name the answer's column with --target, or remove what is not a feature",
            )
        return offered
    absent = [name for name in names if name not in offered]
    surplus = [name for name in offered if name not in set(names)]
    if absent or surplus:
        raise _other_columns(absent, surplus, target)
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
    return last if is_answer(last, table.columns[last], classes) else None


def is_answer(name: str, column: Column, classes: tuple[Any, ...] | None) -> bool:
    """Tell whether a column can only be the answer: by its name, or as it holds the classes."""
    known = {label for label in classes or () if type(label) is not bool}
    texts = set(texts_of(column))
    cells = {float(cell) if NUMBER.fullmatch(cell) else cell for cell in texts}
    return (bool(known) and (cells <= known or texts <= known)) or name.lower() in _ANSWER_NAMES


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
