"""A CSV file is read as plain as it is, and what is none is refused by what it is."""

from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import table_file
from secureml.models.sealing.table_file import TableFile, read_table


@pytest.fixture
def read(tmp_path):
    def from_text(text, encoding="utf-8"):
        (tmp_path / "t.csv").write_bytes(text.encode(encoding))
        return read_table(TableFile.load(tmp_path / "t.csv"))

    return from_text


def test_columns_are_read_by_name_in_order(read):
    found = read('\ufeffa,"b, c"\r\n1,x\r\n\r\n2,"y ""z"""\r\n')

    assert found.columns == {"a": ["1", "2"], "b, c": ["x", 'y "z"']}
    assert found.length == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "the file is empty"),
        ("\ufeff", "the file is empty"),
        ("\n\r\n\n", "the file is empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "twice"),
        ("a,\n1,2\n", "column 2 of the header row has no name"),
        (",,b\n1,2,3\n", "column 2 of the header row has no name"),
        (" \n1\n", "column 1 of the header row has no name"),
        ("1,2\n3,4\n", "header row first"),
        ("a,b\n1\n", "line 2"),
        ("a,b\n1,2\n1,2,3\n", "line 3"),
        ('a,b\n"1,2\n', "cannot be read"),
    ],
)
def test_a_table_that_is_not_plain_is_refused(read, text, word):
    with pytest.raises(ModelRefused, match=word) as refused:
        read(text)

    assert refused.value.check == "card"


def test_a_table_too_large_or_absent_is_refused(read, tmp_path, monkeypatch):
    with pytest.raises(ModelRefused):
        TableFile.load(tmp_path / "absent.csv")
    monkeypatch.setattr(table_file, "TABLE_LIMIT", 3)
    with pytest.raises(ModelRefused, match="larger"):
        read("a\n1\n2\n")


def refused(read, text, encoding="utf-8"):
    with pytest.raises(ModelRefused) as emitted:
        read(text, encoding)
    return emitted.value


def test_every_refusal_names_the_file(read, tmp_path):
    for text in ("", "a,b\n", "a,\n0,1\n", "a,b\n1\n"):
        assert refused(read, text).message.startswith(f"{tmp_path / 't.csv'}: ")


def test_a_blank_line_above_the_header_is_passed_over_as_pandas_does(read):
    assert read("\n\na,b\n1,2\n").columns == {"a": ["1"], "b": ["2"]}


def test_a_first_column_without_a_name_is_called_as_pandas_calls_it(read):
    assert list(read(",a\n0,1\n").columns) == ["Unnamed: 0", "a"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('"a;b"\n1\n', ["a;b"]),
        ("a;b,c\n1,2\n", ["a;b", "c"]),
        ("a\n1;2\n", ["a"]),
        ('"a\n;b",c\n1,2\n', ["a\n;b", "c"]),
    ],
)
def test_a_name_or_a_cell_may_hold_another_separator(read, text, columns):
    assert list(read(text).columns) == columns


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04rest", "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0rest", "an old Excel workbook"),
        (b"\x1f\x8brest", "packed with gzip"),
    ],
)
def test_a_file_of_another_kind_is_called_so(tmp_path, content, says):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ModelRefused, match=says) as emitted:
        read_table(TableFile.load(tmp_path / "t.csv"))

    assert "save the table as CSV or Parquet" in emitted.value.fix


def test_a_header_of_many_columns_is_checked_in_one_pass(read):
    """Each name used to be counted in the whole row: 10 000 names were 100 million looks."""
    header = [f"column{place}" for place in range(table_file.COLUMN_LIMIT)]
    looks = 0

    class Counted(str):
        __slots__ = ()

        def __eq__(self, other):
            nonlocal looks
            looks += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    table_file._check_header([Counted(name) for name in header])

    assert looks < 20 * len(header)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            lambda: ",".join(f"c{place}" for place in range(table_file.COLUMN_LIMIT + 1)),
            "more than",
        ),
        (lambda: "a,b,c,a", "'a' twice"),
    ],
)
def test_a_header_that_is_too_long_or_repeats_is_refused(read, header, says):
    with pytest.raises(ModelRefused, match=says):
        read(f"{header()}\n1\n")


def test_the_first_row_of_another_length_ends_the_reading(read, monkeypatch):
    seen = []
    real = table_file.csv.reader

    def counting(*words, **more):
        lines = real(*words, **more)

        class Lines:
            line_num = property(lambda self: lines.line_num)

            def __iter__(self):
                return self

            def __next__(self):
                seen.append(1)
                return next(lines)

        return Lines()

    monkeypatch.setattr(table_file.csv, "reader", counting)
    with pytest.raises(ModelRefused, match="line 2 of the table has 3 cells"):
        table_file._read(table_file.csv.reader(["a,b", "1,2,3", *["1,2"] * 1000]))

    assert len(seen) <= 2  # the header and the row
