"""A CSV file of any size: how it is written, and where it can be cut between two rows.

The file is read once in blocks before the run: its digest and its chunks come of the same pass.
A line end within quotes is none; one that is taken for another makes a chunk that the strict
reader refuses, so a file is never read as other rows than it holds.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.csv_dialect import find_dialect
from secureml.scoring.chunk_table import Plan, Span
from secureml.scoring.refused import NotScored

_SAMPLE = 64 * 1024
_BLOCK = 4 * 1024**2
CHUNK_LIMIT = 64 * 1024**2  # bytes of one chunk, whatever its rows are
_NEWLINE, _QUOTE = 10, 34


@dataclass(frozen=True)
class CsvLayout:
    """How a file is written; the rows begin at byte ``start``, which is line ``first_line``."""

    header: tuple[str, ...]
    separator: str
    decimal: str
    encoding: str
    start: int
    first_line: int


def find_layout(path: Path, stated: Mapping[str, str]) -> CsvLayout:
    """Return how a file is written; raises NotScored.

    ``stated`` is what is said of separator, decimal and encoding; the rest is found out.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE + 1)
    if len(sample) > _SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    try:
        dialect = find_dialect(sample, stated)
    except ModelRefused as refused:
        raise NotScored(f"{path}: {refused.message}", refused.fix) from None
    if '\n,"'.encode(dialect.encoding.removesuffix("-sig")) != b'\n,"':
        raise NotScored(
            f"{path} is written in {dialect.encoding}, which cannot be cut into chunks",
            "save it as CSV in UTF-8",
        )
    start, first_line = _first_row(path, sample)
    text = sample[:start].decode(dialect.encoding)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.separator, strict=True)
    try:
        header = next(filter(None, lines))
    except csv.Error as error:
        raise NotScored(f"{path}: the header row cannot be read ({error})", _HEADER) from None
    decimal = dialect.decimal or _decimal(sample[start:], dialect.separator)
    encoding = dialect.encoding.removesuffix("-sig")
    return CsvLayout(tuple(header), dialect.separator, decimal, encoding, start, first_line)


_HEADER = "give a CSV file with a header row, or a Parquet file"


def _first_row(path: Path, sample: bytes) -> tuple[int, int]:
    """Return the byte and the line at which the rows begin."""
    start = 0
    while start < len(sample):
        end, inside = start, False
        while end < len(sample) and (inside or sample[end] != _NEWLINE):
            inside ^= sample[end] == _QUOTE
            end += 1
        record, start = sample[start:end], end + 1
        if record.strip():
            start = min(start, len(sample))
            return start, sample[:start].count(b"\n") + 1
    raise NotScored(f"{path} is empty", _HEADER)


def _decimal(sample: bytes, separator: str) -> str:
    """Return the decimal sign: a comma only where a number such as 1,5 is among the first rows."""
    cells = sample.replace(b"\r", b"").replace(b"\n", separator.encode()).split(separator.encode())
    commas = any(_is_comma_number(cell.strip(b' "')) for cell in cells)
    points = any(_is_comma_number(cell.strip(b' "').replace(b".", b",")) for cell in cells
                 if b"," not in cell)  # fmt: skip
    if commas and points:
        raise NotScored(
            "the input has numbers such as 1,5 and such as 1.5",
            "say which is meant with --decimal point or --decimal comma",
        )
    return "," if commas else "."


def _is_comma_number(cell: bytes) -> bool:
    whole, comma, fraction = cell.partition(b",")
    return bool(comma) and whole.lstrip(b"+-").isdigit() and fraction.isdigit()


def plan_csv(path: Path, layout: CsvLayout, chunk_rows: int) -> Plan:
    """Return digest and chunks of a file; raises NotScored where it cannot be cut."""
    cutter = _Cutter(path, layout, chunk_rows)
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            skipped = min(max(layout.start - size, 0), len(block))
            cutter.add(block[skipped:], size + skipped)
            size += len(block)
    return Plan(size, digest.hexdigest(), cutter.spans(size))


class _Cutter:
    """Finds every so manieth line end that is not within quotes, block by block."""

    def __init__(self, path: Path, layout: CsvLayout, chunk_rows: int) -> None:
        self._path, self._rows = path, chunk_rows
        self._open = False  # within quotes
        self._begin, self._first = layout.start, layout.first_line
        self._line, self._count = layout.first_line, 0
        self._ended = layout.start  # behind the last line end that is one
        self._found: list[Span] = []

    def add(self, block: bytes, offset: int) -> None:
        letters = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(letters == _NEWLINE)
        outside = ends
        if self._open or _QUOTE in block:
            quotes = np.cumsum(letters == _QUOTE) + self._open
            outside = ends[quotes[ends] % 2 == 0]
            self._open = bool(quotes[-1] % 2) if quotes.size else self._open
        if outside.size:
            self._ended = offset + int(outside[-1]) + 1
        for place in self._cuts(outside):
            end = offset + int(outside[place]) + 1
            line = self._line + int(np.searchsorted(ends, outside[place], side="right"))
            self._cut(end, line, self._rows)
        self._line += len(ends)
        if offset + len(block) - self._begin > CHUNK_LIMIT:
            self._cut_early(outside, ends, offset)

    def _cuts(self, outside: np.ndarray[tuple[int], np.dtype[np.intp]]) -> range:
        """Return the places, among the line ends of a block, at which a chunk is full."""
        cuts = range(self._rows - self._count - 1, len(outside), self._rows)
        self._count = (self._count + len(outside)) % self._rows
        return cuts

    def _cut_early(
        self,
        outside: np.ndarray[tuple[int], np.dtype[np.intp]],
        ends: np.ndarray[tuple[int], np.dtype[np.intp]],
        offset: int,
    ) -> None:
        """Cut at the last line end of this block: rows are long, and memory is bounded."""
        if not self._count or not outside.size:
            raise NotScored(
                f"{self._path} has a row of more than {CHUNK_LIMIT // 1024**2} MiB from line "
                f"{self._first} on, or a quotation mark that is not closed",
                "correct that line",
            )
        end = offset + int(outside[-1]) + 1
        after = len(ends) - int(np.searchsorted(ends, outside[-1], side="right"))
        self._cut(end, self._line - after, self._count)
        self._count = 0

    def _cut(self, end: int, line: int, rows: int) -> None:
        self._found.append(Span(self._begin, end, self._first, rows))
        self._begin, self._first = end, line

    def spans(self, size: int) -> tuple[Span, ...]:
        """Return the chunks of a file of this size."""
        if self._open:
            raise NotScored(
                f"{self._path} has a quotation mark that is not closed",
                "write a CSV file in which a quotation mark within quotes is doubled",
            )
        if self._begin < size:
            rows = self._count + (size > self._ended)  # the last line may have no end
            self._found.append(Span(self._begin, size, self._first, rows))
        return tuple(self._found)
