from __future__ import annotations

import datetime
import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.models.card import Feature
from secureml.scoring.answers import AnswerColumn
from secureml.scoring.chosen_columns import Columns
from secureml.scoring.parquet_file import (
    ParquetChunk,
    ParquetInput,
    ParquetTable,
    as_stream,
    is_parquet,
    schema_of,
    stream_of,
    write_parquet,
)
from secureml.scoring.refused import NotScored
from tests.optional_packages import need
from tests.secureml.scoring.conftest import MIXED

pa = need("pyarrow", "pyarrow.parquet")


def table_of(**columns):
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    features = [Feature(name) for name in columns]
    chunk = ParquetChunk("in.parquet", stream_of(batch), 11, Columns((*range(len(columns)),), ()))
    return ParquetTable(chunk, features)


@given(st.lists(st.none() | st.floats() | st.integers(-(2**53), 2**53).map(float), min_size=1))
def test_numbers_are_read_at_once_as_cell_by_cell(numbers):
    table = table_of(a=pa.array(numbers, pa.float64()))
    one_by_one = [math.nan if cell is None else cell for cell in table.cells()[0]]

    assert np.array_equal(table.numbers()[:, 0], one_by_one, equal_nan=True)
    assert table.cells()[0] == [None if n is None or math.isnan(n) else n for n in numbers]


@pytest.mark.parametrize(
    ("array", "cells"),
    [
        (pa.array([1, None]), [1, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["a", None, "NA"]), ["a", None, "NA"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([datetime.date(2026, 1, 31)]), ["2026-01-31"]),
        (pa.array([datetime.datetime(2026, 1, 31, 12)]), ["2026-01-31T12:00:00"]),  # noqa: DTZ001
        (pa.array([0.1], pa.float32()), [float(np.float32(0.1))]),
    ],
)
def test_cells_are_what_a_client_would_send(array, cells):
    assert table_of(a=array).cells() == [cells]


def test_truth_values_and_texts_are_no_numbers():
    assert table_of(a=pa.array([True])).numbers() is None
    assert table_of(a=pa.array(["1"])).numbers() is None
    assert list(table_of(a=pa.array([1, 2])).places) == [11, 12]


@pytest.mark.parametrize(
    "kind", [pa.decimal128(5, 2), pa.timestamp("us", "UTC"), pa.binary(), pa.list_(pa.int64())]
)
def test_a_type_that_no_client_could_send_is_refused(tmp_path, kind):
    file = tmp_path / "in.parquet"
    pa.parquet.write_table(pa.table({"a": pa.array([None], kind)}), file)
    with pytest.raises(NotScored, match="column 'a' is of the type"):
        ParquetInput(file).check_types(["a"])


@pytest.mark.parametrize(("groups", "size"), [(1000, 7), (10, 7), (10, 10), (3, 100)])
def test_chunks_are_parts_of_row_groups_and_hold_every_row_once(tmp_path, groups, size):
    file = tmp_path / "in.parquet"
    pa.parquet.write_table(
        pa.table({"x": range(50), "y": ["t"] * 50, "z": range(50)}), file, row_group_size=groups
    )
    source = ParquetInput(file)
    plan = source.plan(size)
    found = {
        span: pa.ipc.open_stream(data).read_all() for span, data in
        source.chunks(plan.spans, ["z", "x"], size)
    }  # fmt: skip

    assert (plan.rows, list(found)) == (50, list(plan.spans))
    for span, part in found.items():
        assert part.column_names == ["z", "x"]
        assert part["x"].to_pylist() == list(range(span.first - 1, span.first - 1 + span.rows))
    some = [plan.spans[0], plan.spans[-1]]
    assert [span for span, _ in source.chunks(some, ["x"], size)] == some
    source.close()


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    file = tmp_path / "in.parquet"
    file.write_bytes(b"PAR1 and nothing else")
    assert is_parquet(file)
    with pytest.raises(NotScored, match="cannot be read as Parquet"):
        ParquetInput(file)


def test_without_pyarrow_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(NotScored, match="script/extras parquet"):
        ParquetInput(tmp_path / "in.parquet")


def test_answers_are_written_with_their_types_behind_what_passes_through(tmp_path):
    kept = pa.array(["r1", None])
    answers = [AnswerColumn("prediction", "int64"), AnswerColumn("p", "float64"),
               AnswerColumn("s", "string"), AnswerColumn("b", "bool")]  # fmt: skip
    part = as_stream([kept], ["id"], answers, [[1, 2], [0.5, None], ["a", 3], [True, False]])
    empty = as_stream([kept.slice(0, 0)], ["id"], answers, [[], [], [], []])
    write_parquet(
        tmp_path / "out.parquet", schema_of([pa.field("id", pa.string())], answers),
        [part, empty, part],
    )  # fmt: skip
    found = pa.parquet.read_table(tmp_path / "out.parquet")

    assert found.to_pydict() == {
        "id": ["r1", None] * 2, "prediction": [1, 2] * 2, "p": [0.5, None] * 2,
        "s": ["a", "3"] * 2, "b": [True, False] * 2,
    }  # fmt: skip


def written(table, **words):
    file = io.BytesIO()
    pa.parquet.write_table(table, file, **words)
    return file.getvalue()


def test_a_run_over_parquet_answers_as_one_over_csv(mixed, run, tmp_path):
    frame = MIXED.assign(id=[f"r{n}" for n in range(len(MIXED))])
    frame.to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "in.parquet").write_bytes(
        written(pa.Table.from_pandas(frame, preserve_index=False), row_group_size=50)
    )
    run(mixed, tmp_path / "in.csv", keep=("id",), probabilities=True)
    target = tmp_path / "out.parquet"
    run(mixed, tmp_path / "in.parquet", target, keep=("id",), probabilities=True)

    pd.testing.assert_frame_equal(
        pd.read_parquet(target), pd.read_csv(tmp_path / "out.csv"),
        check_exact=True, check_dtype=False,
    )  # fmt: skip
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_bad_row_of_parquet_is_told_by_its_number(plain, run, tmp_path):
    rows = pa.table({"a": [1.0, None, 3.0], "b": [1.0, 2.0, 3.0], "c": [1.0, 2.0, 3.0]})
    (tmp_path / "in.parquet").write_bytes(written(rows))
    with pytest.raises(NotScored, match="row 2, column 'a': missing_value"):
        run(plain, tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_output_has_the_format_of_its_input(plain, run, tmp_path):
    (tmp_path / "in.parquet").write_bytes(written(pa.table({"a": [1.0], "b": [1.0], "c": [1.0]})))
    with pytest.raises(NotScored, match=r"give the output a name that ends in \.parquet"):
        run(plain, tmp_path / "in.parquet", tmp_path / "out.csv")
    (tmp_path / "in.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(NotScored, match=r"give the output a name that ends in \.csv"):
        run(plain, tmp_path / "in.csv", tmp_path / "out.parquet")
