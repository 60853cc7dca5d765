"""A Parquet file of any size, read and written in chunks by pyarrow, which is an extra.

It is read in this process, by a large library in C++: files of strangers are better given as CSV.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secureml.models.card import Feature
from secureml.models.sealing.table_file import PARQUET
from secureml.scoring.answers import AnswerColumn
from secureml.scoring.chosen_columns import Columns
from secureml.scoring.chunk_table import Plan, Span
from secureml.scoring.refused import NotScored

_BLOCK = 4 * 1024**2


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _arrow() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as _  # noqa: F401, PLC0415
    except ImportError:
        raise NotScored(
            "a Parquet file is read with pyarrow, which is not installed",
            "script/extras parquet, or give a CSV file",
        ) from None
    return pa


class ParquetInput:
    """An input file; raises NotScored where it cannot be read."""

    def __init__(self, path: Path) -> None:
        pa = _arrow()
        self._path = path
        try:
            self._file = pa.parquet.ParquetFile(path, memory_map=False, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise NotScored(
                f"{path} cannot be read as Parquet ({' '.join(str(error).split())})",
                "write it again, or give a CSV file",
            ) from None
        self.schema = self._file.schema_arrow
        self.header = tuple(self.schema.names)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def check_types(self, names: Iterable[str]) -> None:
        """Raise NotScored for a feature of a type that no client could send."""
        pa = _arrow()
        for name in names:
            kind = self.schema.field(name).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not _is_plain(kind, pa):
                raise NotScored(
                    f"{self._path}: column {name!r} is of the type {kind}",
                    "write it as a number, text, truth value, date or time without a zone",
                )

    def plan(self, chunk_rows: int) -> Plan:
        """Return digest and chunks: parts of row groups."""
        digest, size = hashlib.sha256(), 0
        with self._path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
        spans: list[Span] = []
        first = 1
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            for part, begin in enumerate(range(0, rows, chunk_rows)):
                spans.append(Span(group, part, first + begin, min(chunk_rows, rows - begin)))
            first += rows
        return Plan(size, digest.hexdigest(), tuple(spans))

    def chunks(
        self, spans: Sequence[Span], names: Sequence[str], chunk_rows: int
    ) -> Iterator[tuple[Span, bytes]]:
        """Yield the chunks as Arrow's stream format, only these columns, one row group at a time.

        Raises NotScored where there are others than planned.
        """
        wanted = set(spans)
        for group in sorted({span.start for span in spans}):
            batches = self._file.iter_batches(
                batch_size=chunk_rows, row_groups=[group], columns=list(names), use_threads=False
            )
            of_group = {span.end: span for span in wanted if span.start == group}
            for part, batch in enumerate(batches):
                span = of_group.pop(part, None)
                if span is None:
                    continue
                if batch.num_rows != span.rows:
                    raise NotScored(
                        f"{self._path}: row group {group} is read in parts of another size",
                        "write the file again with DataFrame.to_parquet(file)",
                    )
                # In the order that was asked for: the file has one of its own.
                yield span, stream_of(batch.select(list(names)))
            if of_group:
                raise NotScored(f"{self._path} has changed while it was read", "begin again")


def _is_plain(kind: Any, pa: Any) -> bool:
    types = pa.types
    if types.is_timestamp(kind):
        return kind.tz is None
    return any(
        test(kind)
        for test in (types.is_integer, types.is_floating, types.is_boolean, types.is_string,
                     types.is_large_string, types.is_date32, types.is_null)
    )  # fmt: skip


def stream_of(batch: Any) -> bytes:
    """Return a record batch in Arrow's stream format."""
    pa = _arrow()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


@dataclass(frozen=True)
class ParquetChunk:
    """Rows as they are sent to a worker; ``columns`` are places in ``data``."""

    file: str
    data: bytes
    first_row: int
    columns: Columns


class ParquetTable:
    """The rows of one chunk; its cells are typed, so that no text is taken for a number."""

    malformed: Sequence[tuple[int, str]] = ()

    def __init__(self, chunk: ParquetChunk, features: Sequence[Feature]) -> None:
        with _arrow().ipc.open_stream(chunk.data) as reader:
            self._batch = reader.read_next_batch()
        self._features, self._columns = features, chunk.columns
        self.places = range(chunk.first_row, chunk.first_row + self._batch.num_rows)

    def numbers(self) -> np.ndarray[Any, Any] | None:
        """Return the features as an array; see `ChunkTable`."""
        types = _arrow().types
        found = np.empty((self._batch.num_rows, len(self._features)))
        for index, place in enumerate(self._columns.features):
            if place is None:
                found[:, index] = np.nan
                continue
            column = self._batch.column(place)
            if not (types.is_integer(column.type) or types.is_floating(column.type)):
                return None
            found[:, index] = column.to_numpy(zero_copy_only=False)
        return found

    def cells(self) -> list[list[Any]]:
        """Return the cells of each feature."""
        return [
            [None] * self._batch.num_rows if place is None else _values(self._batch.column(place))
            for place in self._columns.features
        ]

    def kept(self, rows: Sequence[int]) -> list[Any]:
        """Return the columns that pass through, as Arrow arrays."""
        chosen = _arrow().array(rows, type=_arrow().int64())
        return [self._batch.column(place).take(chosen) for place in self._columns.kept]


def _values(column: Any) -> list[Any]:
    """Return cells as JSON values: dates as ISO text, NaN as missing."""
    types = _arrow().types
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    cells: list[Any] = column.to_pylist()
    if types.is_floating(kind):
        return [None if cell is None or cell != cell else cell for cell in cells]  # noqa: PLR0124
    if types.is_timestamp(kind) or types.is_date32(kind):
        return [None if cell is None else cell.isoformat() for cell in cells]
    return cells


def schema_of(kept: Sequence[Any], answers: Sequence[AnswerColumn]) -> Any:
    """Return the schema of an output: fields that pass through, then answers."""
    pa = _arrow()
    fields = [pa.field(each.name, each.type) for each in kept]
    return pa.schema([*fields, *(pa.field(each.name, _type(each.kind)) for each in answers)])


def _type(kind: str) -> Any:
    pa = _arrow()
    return {"bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}.get(kind, pa.string())


def as_stream(kept: Sequence[Any], names: Sequence[str], answers: Sequence[AnswerColumn],
              columns: Sequence[Sequence[Any]]) -> bytes:  # fmt: skip
    """Return rows of an output in Arrow's stream format."""
    pa = _arrow()
    arrays = [
        pa.array([str(cell) for cell in cells] if each.kind == "string" else list(cells),
                 type=_type(each.kind))
        for each, cells in zip(answers, columns, strict=True)
    ]  # fmt: skip
    labels = [*names, *(each.name for each in answers)]
    return stream_of(pa.record_batch([*kept, *arrays], names=labels))


def write_parquet(path: Path, schema: Any, parts: Iterable[bytes]) -> None:
    """Write parts in Arrow's stream format as one Parquet file, a row group for each."""
    pa = _arrow()
    with path.open("wb") as file, pa.parquet.ParquetWriter(file, schema) as writer:
        for part in parts:
            with pa.ipc.open_stream(part) as reader:
                table = reader.read_all()
            if table.num_rows:
                writer.write_table(table.cast(schema))
