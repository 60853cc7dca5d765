"""An input file opened for a run: its columns, its chunks, and the output that it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from secureml.models.card import Card
from secureml.scoring.answers import AnswerColumn
from secureml.scoring.chosen_columns import Columns, choose
from secureml.scoring.chunk_table import Plan, Span
from secureml.scoring.csv_chunk import CsvChunk
from secureml.scoring.csv_file import find_layout, plan_csv
from secureml.scoring.csv_rows import header_line
from secureml.scoring.parquet_file import (
    ParquetChunk,
    ParquetInput,
    is_parquet,
    schema_of,
    write_parquet,
)
from secureml.scoring.refused import NotScored
from secureml.scoring.targets import Pair
from secureml.scoring.task import Chunk


class Choice(NamedTuple):
    """Which columns pass through and which are left out, and how CSV files are written."""

    keep: Sequence[str]
    ignore: Sequence[str]
    stated: Mapping[str, str]


class Source(Protocol):
    """One input file; its methods raise NotScored."""

    pair: Pair
    unit: str  # what a place in it is called: line or row
    plan: Plan

    def chunks(self, wanted: Sequence[int]) -> Iterator[tuple[int, Chunk]]:
        """Yield chunks by their number; ``wanted`` is in order."""

    def write(self, path: Path, parts: Iterable[bytes], answers: Sequence[AnswerColumn]) -> None:
        """Write the output of all parts to an empty file."""


def open_source(pair: Pair, card: Card, choice: Choice, chunk_rows: int) -> Source:
    """Return an input file, by what is in it; raises NotScored and OSError."""
    parquet = is_parquet(pair.source)
    _check_ending(pair, is_parquet=parquet)
    if parquet:
        return ParquetSource(pair, card, choice, chunk_rows)
    return CsvSource(pair, card, choice, chunk_rows)


def _check_ending(pair: Pair, *, is_parquet: bool) -> None:
    """Refuse a name that says another format: output has the format of its input."""
    if is_parquet != (pair.target.suffix.lower() == ".parquet"):
        kind, ending = ("Parquet", ".parquet") if is_parquet else ("CSV", ".csv")
        raise NotScored(
            f"{pair.source} is {kind}, and so is its output, which would be called {pair.target}",
            f"give the output a name that ends in {ending}"
            + ("" if is_parquet else ", or the input as Parquet"),
        )


class _Unchanged:
    """A file that must stay as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path, self._facts = path, self._stamp(path)

    @staticmethod
    def _stamp(path: Path) -> tuple[int, int, int]:
        facts = path.stat()
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def check(self) -> None:
        """Raise NotScored where it was changed."""
        if self._stamp(self._path) != self._facts:
            raise NotScored(
                f"{self._path} was changed while it was read", "--restart, and leave it alone"
            )


class CsvSource:
    """A CSV file."""

    unit = "line"

    def __init__(self, pair: Pair, card: Card, choice: Choice, chunk_rows: int) -> None:
        self.pair = pair
        self._unchanged = _Unchanged(pair.source)
        self._layout = find_layout(pair.source, choice.stated)
        header = self._layout.header
        self._columns = choose(str(pair.source), header, card, choice.keep, choice.ignore)
        self._keep = choice.keep
        self.plan = plan_csv(pair.source, self._layout, chunk_rows)
        self._unchanged.check()

    def chunks(self, wanted: Sequence[int]) -> Iterator[tuple[int, Chunk]]:
        """Yield chunks as bytes of whole lines."""
        with self.pair.source.open("rb") as file:
            for number in wanted:
                span = self.plan.spans[number]
                yield number, self._chunk(span, _bytes(file, span))
        self._unchanged.check()

    def _chunk(self, span: Span, data: bytes) -> CsvChunk:
        return CsvChunk(str(self.pair.source), data, span.first, self._layout, self._columns)

    def write(self, path: Path, parts: Iterable[bytes], answers: Sequence[AnswerColumn]) -> None:
        """Write a header, and the parts behind it."""
        with path.open("wb") as file:
            file.write(header_line([*self._keep, *(each.name for each in answers)]))
            file.writelines(parts)


def _bytes(file: object, span: Span) -> bytes:
    file.seek(span.start)  # type: ignore[attr-defined]
    found: bytes = file.read(span.end - span.start)  # type: ignore[attr-defined]
    return found


class ParquetSource:
    """A Parquet file."""

    unit = "row"

    def __init__(self, pair: Pair, card: Card, choice: Choice, chunk_rows: int) -> None:
        self.pair, self._rows, self._keep = pair, chunk_rows, choice.keep
        self._unchanged = _Unchanged(pair.source)
        self._input = ParquetInput(pair.source)
        header = self._input.header
        columns = choose(str(pair.source), header, card, choice.keep, choice.ignore)
        names = [feature.name for feature in card.features if feature.name in header]
        self._input.check_types(names)
        # Only these are read, each once: places are among them.
        self._names = list(dict.fromkeys([*names, *choice.keep]))
        at = {name: place for place, name in enumerate(self._names)}
        self._columns = Columns(
            tuple(None if place is None else at[header[place]] for place in columns.features),
            tuple(at[header[place]] for place in columns.kept),
        )
        self.plan = self._input.plan(chunk_rows)
        self._unchanged.check()

    def chunks(self, wanted: Sequence[int]) -> Iterator[tuple[int, Chunk]]:
        """Yield chunks in Arrow's stream format."""
        numbers = {self.plan.spans[number]: number for number in wanted}
        for span, data in self._input.chunks(list(numbers), self._names, self._rows):
            file = str(self.pair.source)
            yield numbers[span], ParquetChunk(file, data, span.first, self._columns)
        self._unchanged.check()

    def write(self, path: Path, parts: Iterable[bytes], answers: Sequence[AnswerColumn]) -> None:
        """Write a Parquet file with a row group for each part."""
        kept = [self._input.schema.field(name) for name in self._keep]
        write_parquet(path, schema_of(kept, answers), parts)
