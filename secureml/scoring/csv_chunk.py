"""A chunk of a CSV file as columns: all numbers at once where there is nothing else in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.card import Feature
from secureml.scoring.cell_values import NUMERIC, floats_of, is_made_of, values_of
from secureml.scoring.chosen_columns import Columns
from secureml.scoring.csv_file import CsvLayout
from secureml.scoring.refused import NotScored


@dataclass(frozen=True)
class CsvChunk:
    """Bytes of whole lines as they are sent to a worker; ``file`` is what messages call it."""

    file: str
    data: bytes
    first_line: int
    layout: CsvLayout
    columns: Columns


class CsvTable:
    """The rows of one chunk; raises NotScored where the chunk cannot be read as CSV."""

    def __init__(self, chunk: CsvChunk, features: Sequence[Feature]) -> None:
        self._chunk, self._features = chunk, features
        self._texts: list[list[str]] | None = None
        self._matrix = self._all_numbers()
        self.malformed: list[tuple[int, str]] = []
        self.places: Sequence[int] = range(0)
        if self._matrix is not None:
            self.places = range(chunk.first_line, chunk.first_line + len(self._matrix))
        else:
            self._read()

    def numbers(self) -> np.ndarray[Any, Any] | None:
        """Return the features as an array; see `ChunkTable`."""
        if self._matrix is not None or self._chunk.layout.decimal != ".":
            return self._matrix
        texts = self._columns()
        found = np.empty((len(self.places), len(self._features)))
        for index, place in enumerate(self._chunk.columns.features):
            numbers = None if place is None else floats_of(texts[place])
            if numbers is None:
                return None
            found[:, index] = numbers
        return found

    def cells(self) -> list[list[Any]]:
        """Return the cells of each feature."""
        texts, decimal = self._columns(), self._chunk.layout.decimal
        return [
            [None] * len(self.places)
            if place is None
            else values_of(feature, texts[place], decimal)
            for feature, place in zip(self._features, self._chunk.columns.features, strict=True)
        ]

    def kept(self, rows: Sequence[int]) -> list[Any]:
        """Return the texts of the columns that pass through."""
        columns = [self._columns()[place] for place in self._chunk.columns.kept]
        return [[column[row] for row in rows] for column in columns]

    def _all_numbers(self) -> np.ndarray[Any, Any] | None:
        """Return an array where every cell of the chunk is a number, None where one is not.

        NumPy reads what is made of these letters as `NUMBER` describes, to the nearest double.
        """
        data, layout, columns = self._chunk.data, self._chunk.layout, self._chunk.columns
        letters = NUMERIC + layout.separator.encode(layout.encoding) + b"\r\n"
        places = [place for place in columns.features if place is not None]
        if layout.decimal != "." or len(places) != len(columns.features):
            return None
        if not is_made_of(data, letters) or not data.strip():
            return None
        try:
            found = np.loadtxt(io.BytesIO(data), delimiter=layout.separator, comments=None, ndmin=2)
        except ValueError:  # an empty cell, a word made of these letters, rows of other lengths
            return None
        if found.shape[1] != len(layout.header) or len(found) != _lines(data):
            return None
        return np.ascontiguousarray(found[:, places])

    def _columns(self) -> list[list[str]]:
        if self._texts is None:
            self._read()
        return self._texts or []

    def _read(self) -> None:
        layout, width = self._chunk.layout, len(self._chunk.layout.header)
        rows: list[list[str]] = []
        places: list[int] = []
        self.malformed = []
        try:
            text = self._chunk.data.decode(layout.encoding)
            lines = csv.reader(
                io.StringIO(text, newline=""), delimiter=layout.separator, strict=True
            )
            place = self._chunk.first_line
            for row in lines:
                if len(row) == width:
                    rows.append(row)
                    places.append(place)
                elif row:  # blank lines are passed over
                    self.malformed.append((place, "feature_count"))
                place = self._chunk.first_line + lines.line_num
        except UnicodeDecodeError as error:
            line = self._chunk.first_line + self._chunk.data.count(b"\n", 0, error.start)
            raise NotScored(
                f"{self._chunk.file}, line {line}: this is not {layout.encoding}",
                "say how the file is written with --encoding, such as cp1252",
            ) from None
        except csv.Error as error:
            raise NotScored(
                f"{self._chunk.file}, line {place} or below: no CSV ({error})",
                "correct the line; within quotes, a quotation mark is doubled",
            ) from None
        self._texts = [list(column) for column in zip(*rows, strict=True)] or [[]] * width
        self.places = places


def _lines(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n"))
