"""A table file as columns: a CSV file with a header row and rows of one length, or typed columns.

How a CSV file is written is found out (see `csv_dialect`). What is no table is refused by what it
is, because it has only to be exported in another way: as a workbook, packed, or
with nothing in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.csv_dialect import Dialect, decimal_of, find_dialect, with_points
from secureml.models.sealing.typed_columns import MARK, TypedColumn, decode

TABLE_LIMIT = 512 * 1024**2
COLUMN_LIMIT = 10_000
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
# What pandas calls the column of row numbers when it reads them back.
ROW_NUMBERS = re.compile(r"Unnamed: [0-9]{1,6}", re.ASCII)
WITHOUT_ROW_NUMBERS = (
    "write the table with DataFrame.to_csv(file, index=False), or remove that column; if the "
    "model was fitted with it, fit it again without"
)
UNNAMED = "Unnamed: 0"  # what pandas calls a first column that has no name
PARQUET = b"PAR1"
# What pandas.read_csv takes for missing, unless it is told otherwise.
MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
Column = list[str] | TypedColumn
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "packed with gzip",
}


@dataclass(frozen=True)
class Table:
    """Columns by name in the file's order, of text or typed; ``dialect`` is that of a CSV file."""

    columns: dict[str, Column]
    length: int
    dialect: Dialect | None = None


@dataclass(frozen=True)
class TableFile:
    """A table as it lay on disk, read once; ``name`` is what messages call it.

    ``stated`` is what a person says of a CSV file: separator, decimal, encoding.
    """

    name: str
    content: bytes
    stated: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> TableFile:
        """Read a file; raises ModelRefused("card")."""
        try:
            with path.open("rb") as file:
                return cls(str(path), file.read(TABLE_LIMIT + 1))
        except OSError as error:
            raise _unreadable(str(path), error) from None


def read_table(file: TableFile) -> Table:
    """Read a CSV file or typed columns; raises ModelRefused("card") with the file's name."""
    try:
        if len(file.content) > TABLE_LIMIT:
            raise _refuse(f"the table is larger than {TABLE_LIMIT} bytes", "give a sample of it")
        if file.content.startswith(MARK):
            return _typed(decode(file.content))
        _check_kind(file.content[:4])
        dialect = find_dialect(file.content, file.stated)
        with io.TextIOWrapper(io.BytesIO(file.content), dialect.encoding, newline="") as text:
            table = _read(csv.reader(text, delimiter=dialect.separator, strict=True))
        return _with_numbers(table, dialect)
    except ModelRefused as refused:
        raise _refuse(f"{file.name}: {refused.message}", refused.fix) from None
    except (ValueError, csv.Error) as error:
        raise _unreadable(file.name, error) from None


def _typed(columns: dict[str, TypedColumn]) -> Table:
    _check_names(list(columns))
    length = len(next(iter(columns.values())).cells)
    if not length:
        raise _no_rows()
    return Table({**columns}, length)


def _with_numbers(table: Table, dialect: Dialect) -> Table:
    """Return a table of texts with the decimal sign that Python reads."""
    texts = {name: cells for name, cells in table.columns.items() if isinstance(cells, list)}
    decimal = dialect.decimal or decimal_of(texts, MISSING)
    columns = with_points(texts, MISSING) if decimal == "," else texts
    return Table({**columns}, table.length, replace(dialect, decimal=decimal))


def _unreadable(name: str, error: Exception) -> ModelRefused:
    return _refuse(
        f"{name}: the table cannot be read ({error})", "give a CSV file with a header row"
    )


def _read(lines: Any) -> Table:
    header: list[str] = next(filter(None, lines), [])  # pandas passes over blank lines, too
    if not header:
        raise _refuse(
            "the file is empty", "give the table the model was fitted on, with a header row"
        )
    if not header[0] and len(header) > 1:
        header[0] = UNNAMED
    _check_header(header)
    rows = list(_rows(lines, len(header)))
    if not rows:
        raise _no_rows()
    columns = zip(*rows, strict=True)
    return Table(
        {name: list(column) for name, column in zip(header, columns, strict=True)}, len(rows)
    )


def _no_rows() -> ModelRefused:
    return _refuse(
        "the table has a header row and no rows below it",
        "give the table the model was fitted on, one row for each example",
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


def _check_kind(begin: bytes) -> None:
    for mark, kind in _OTHER_FILES.items():
        if begin.startswith(mark):
            raise _refuse(f"this is no CSV file: it is {kind}", "save the table as CSV or Parquet")


def _check_header(header: list[str]) -> None:
    _check_names(header)
    if all(map(NUMBER.fullmatch, header)):
        raise _refuse("the first row holds numbers, not names", "put a header row first")


def _check_names(header: list[str]) -> None:
    unnamed = [place for place, name in enumerate(header, 1) if not name.strip()]
    if unnamed:
        raise _refuse(
            f"column {unnamed[0]} of the header row has no name",
            "name every column, and end no line with a comma",
        )
    if len(header) > COLUMN_LIMIT:
        raise _refuse(
            f"the header row has {len(header)} columns, more than {COLUMN_LIMIT}",
            "leave out the columns that the model does not use",
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise _refuse(f"the header row has {repeated[0]!r} twice", "give each column its own name")


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
