from __future__ import annotations

import csv
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.scoring import csv_file
from secureml.scoring.csv_file import find_layout, plan_csv
from secureml.scoring.refused import NotScored

cells = st.sampled_from(("", "1", "a b", 'say "hi"', "two\nlines", "comma, here", "\r\n", '"'))
tables = st.lists(st.tuples(cells, cells), max_size=30)


def written(rows, end="\n"):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("x", "y"), *rows])
    return text.getvalue().encode()


def read(data):
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def plan_of(path, content, rows, **stated):
    path.write_bytes(content)
    layout = find_layout(path, stated)
    return layout, plan_csv(path, layout, rows)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("csv") / "in.csv"


@given(tables, st.integers(1, 9), st.sampled_from(("\n", "\r\n")), st.booleans(), st.data())
def test_chunks_hold_the_rows_of_the_file_and_each_names_its_line(file, rows, size, end, cut, data):
    content = written(rows, end)
    content = content.removesuffix(end.encode()) if cut and rows else content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "_BLOCK", data.draw(st.integers(1, 40)))
        layout, plan = plan_of(file, content, size, separator="comma")

    parts = [content[span.start : span.end] for span in plan.spans]
    assert b"".join(parts) == content[layout.start :]
    assert [read(part) for part in parts] == [
        [list(row) for row in rows[at : at + size]] for at in range(0, len(rows), size)
    ]
    assert [span.first for span in plan.spans] == [
        content[: span.start].count(b"\n") + 1 for span in plan.spans
    ]
    assert plan.rows == len(rows)
    assert (plan.size, plan.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a;b\n1,5;2\n", (";", ",", "utf-8")),
        (b"a,b\n1.5,2\n", (",", ".", "utf-8")),
        (b"a\tb\n1\t2\n", ("\t", ".", "utf-8")),
        ("\ufeffa;b\n1;2\n".encode(), (";", ".", "utf-8")),
        ("a;b\né;2\n".encode("cp1252"), (";", ".", "cp1252")),
    ],
)
def test_it_is_found_out_how_a_file_is_written(file, content, expected):
    file.write_bytes(content)
    layout = find_layout(file, {})

    assert (layout.separator, layout.decimal, layout.encoding) == expected
    assert layout.header == ("a", "b")


def test_what_is_said_goes_before_what_is_found(file):
    file.write_bytes(b"a;b\n1;2\n")
    layout = find_layout(file, {"separator": "comma", "decimal": "point", "encoding": "latin-1"})

    assert (layout.header, layout.encoding) == (("a;b",), "latin-1")


def test_a_header_of_several_lines_and_blank_lines_before_it_are_passed_over(file):
    layout, plan = plan_of(file, b'\n"a\nb",c\n1,2\n3,4\n', 1)

    assert (layout.header, layout.first_line) == (("a\nb", "c"), 4)
    assert [span.first for span in plan.spans] == [4, 5]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("a,b\n1,2\n".encode("utf-16"), "cannot be cut into chunks; fix: save it as CSV in UTF-8"),
        (b"a;b\n1,5;2\n1.5;2\n", "such as 1,5 and such as 1.5"),
        (b'a,b\n1,"2\n3,4\n', "a quotation mark that is not closed"),
    ],
)
def test_what_cannot_be_read_or_cut_is_refused_with_a_fix(file, content, why):
    with pytest.raises(NotScored, match=why):
        plan_of(file, content, 5)


def test_chunks_are_bounded_in_bytes_whatever_their_rows(file, monkeypatch):
    monkeypatch.setattr(csv_file, "CHUNK_LIMIT", 1000)
    monkeypatch.setattr(csv_file, "_BLOCK", 500)
    content = b"a,b\n" + (b"1," + b"2" * 90 + b"\n") * 100
    layout, plan = plan_of(file, content, 1000)

    assert max(span.end - span.start for span in plan.spans) <= 1500
    assert (
        b"".join(content[span.start : span.end] for span in plan.spans) == content[layout.start :]
    )
    assert plan.rows == 100
    assert [span.first for span in plan.spans] == [
        content[: span.start].count(b"\n") + 1 for span in plan.spans
    ]


def test_a_row_that_is_larger_than_a_chunk_may_be_is_refused_with_its_line(file, monkeypatch):
    monkeypatch.setattr(csv_file, "CHUNK_LIMIT", 1000)
    monkeypatch.setattr(csv_file, "_BLOCK", 500)
    with pytest.raises(NotScored, match="from line 2 on"):
        plan_of(file, b"a,b\n1," + b"2" * 5000 + b"\n", 10)
