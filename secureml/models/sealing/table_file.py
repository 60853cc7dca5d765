"""A CSV file as a table of texts: UTF-8, commas, one header row, rows of one length.

What is no such file is refused by what it is, because whoever exported it has only to export it
in another way: with semicolons, with row numbers, as a workbook, or with nothing in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secureml.models.artifact.version_files import ModelRefused

TABLE_LIMIT = 512 * 1024**2
COLUMN_LIMIT = 10_000
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
# What pandas calls the column of row numbers when it reads them back.
ROW_NUMBERS = re.compile(r"Unnamed: [0-9]{1,6}", re.ASCII)
WITHOUT_ROW_NUMBERS = (
    "write the table with DataFrame.to_csv(file, index=False), or remove that column; if the "
    "model was fitted with it, fit it again without"
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars (|)"}
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "packed with gzip",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}


@dataclass(frozen=True)
class Table:
    """Columns of text, by name, in the file's order."""

    columns: dict[str, list[str]]
    length: int


@dataclass(frozen=True)
class TableFile:
    """A table as it lay on disk, read once; ``name`` is what messages call it."""

    name: str
    content: bytes

    @classmethod
    def load(cls, path: Path) -> TableFile:
        """Read a file; raises ModelRefused("card")."""
        try:
            with path.open("rb") as file:
                return cls(str(path), file.read(TABLE_LIMIT + 1))
        except OSError as error:
            raise _unreadable(str(path), error) from None


def read_table(file: TableFile) -> Table:
    """Read a CSV file (UTF-8, comma, header row); raises ModelRefused("card") with its name."""
    try:
        if len(file.content) > TABLE_LIMIT:
            raise _refuse(f"the table is larger than {TABLE_LIMIT} bytes", "give a sample of it")
        _check_kind(file.content[:4])
        with io.TextIOWrapper(io.BytesIO(file.content), "utf-8-sig", newline="") as text:
            _check_separator(next((line for line in text if line.strip()), ""))
            text.seek(0)
            return _read(csv.reader(text, strict=True))
    except ModelRefused as refused:
        raise _refuse(f"{file.name}: {refused.message}", refused.fix) from None
    except (ValueError, csv.Error) as error:
        raise _unreadable(file.name, error) from None


def _unreadable(name: str, error: Exception) -> ModelRefused:
    return _refuse(
        f"{name}: the table cannot be read ({error})", "give a CSV file in UTF-8 with a header row"
    )


def _read(lines: Any) -> Table:
    header: list[str] = next(filter(None, lines), [])  # pandas passes over blank lines, too
    if not header:
        raise _refuse(
            "the file is empty", "give the table the model was fitted on, with a header row"
        )
    _check_header(header)
    rows = list(_rows(lines, len(header)))
    if not rows:
        raise _refuse(
            "the table has a header row and no rows below it",
            "give the table the model was fitted on, one row for each example",
        )
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


def _check_kind(begin: bytes) -> None:
    for mark, kind in _OTHER_FILES.items():
        if begin.startswith(mark):
            raise _refuse(f"this is no CSV file: it is {kind}", "save the table as CSV in UTF-8")


def _check_separator(line: str) -> None:
    """Refuse a header row that is one cell, and several where another separator is read."""
    if _cells(line, ",") > 1:
        return
    for sign, word in _SEPARATORS.items():
        if _cells(line, sign) > 1:
            raise _refuse(
                f"the cells of the table are separated by {word}, and only commas are read",
                "write it with commas: "
                f"pandas.read_csv(file, sep={sign!r}).to_csv(new_file, index=False), with "
                'decimal="," in read_csv where numbers are written as 1,5',
            )


def _cells(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator, strict=True), []))
    except csv.Error:  # such as "a";"b" read with commas
        return 0


def _check_header(header: list[str]) -> None:
    unnamed = [place for place, name in enumerate(header, 1) if not name.strip()]
    if unnamed == [1] and len(header) > 1:
        raise _refuse(
            "the first column of the header row has no name: pandas writes the row numbers there",
            WITHOUT_ROW_NUMBERS,
        )
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
    if all(map(NUMBER.fullmatch, header)):
        raise _refuse("the first row holds numbers, not names", "put a header row first")


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
