"""How a CSV file is written is found out, and can be said."""

from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.csv_dialect import decimal_of, find_dialect, with_points
from secureml.models.sealing.table_file import MISSING, TableFile, read_table


def found(content, stated=None):
    content = content if isinstance(content, bytes) else content.encode()
    return read_table(TableFile("t.csv", content, stated or {}))


@pytest.mark.parametrize(
    ("content", "described", "columns"),
    [
        ("a,b\n1.5,x\n", "comma, decimal point, UTF-8", {"a": ["1.5"], "b": ["x"]}),
        ("a;b\n1,5;x,y\n", "semicolon, decimal comma, UTF-8", {"a": ["1.5"], "b": ["x,y"]}),
        ("a;b\n1.5;2\n", "semicolon, decimal point, UTF-8", {"a": ["1.5"], "b": ["2"]}),
        ("a\tb\n1\t2\n", "tab, decimal point, UTF-8", {"a": ["1"], "b": ["2"]}),
        ("a|b\n1|2\n", "bar, decimal point, UTF-8", {"a": ["1"], "b": ["2"]}),
        ("\ufeffa;b\n1;2\n", "semicolon, decimal point, UTF-8", {"a": ["1"], "b": ["2"]}),
        ("ä,b\n1,é\n".encode("cp1252"), "comma, decimal point, cp1252", {"ä": ["1"], "b": ["é"]}),
        ("ä,b\n1,\x81\n".encode("latin-1"), "comma, decimal point, latin-1",
         {"ä": ["1"], "b": ["\x81"]}),
        ("a,b\n1,2\n".encode("utf-16"), "comma, decimal point, UTF-16", {"a": ["1"], "b": ["2"]}),
        (b"\xfe\xff" + "a;b\n1;2\n".encode("utf-16-be"), "semicolon, decimal point, UTF-16",
         {"a": ["1"], "b": ["2"]}),
        ('"a";"b"\n"x; y";2\n', "semicolon, decimal point, UTF-8", {"a": ["x; y"], "b": ["2"]}),
        ("a\n1;2\n", "comma, decimal point, UTF-8", {"a": ["1;2"]}),
    ],
)  # fmt: skip
def test_it_is_found_out(content, described, columns):
    table = found(content)

    assert (table.dialect.described(), table.columns) == (described, columns)


def test_pandas_reads_the_same_by_what_was_found():
    pd = pytest.importorskip("pandas")
    import io

    content = "größe;b\n1,5;2\n;3\n".encode("cp1252")
    table = found(content)
    frame = pd.read_csv(io.BytesIO(content), **table.dialect.for_pandas())

    assert frame["größe"].tolist()[0] == float(table.columns["größe"][0]) == 1.5
    assert list(frame.columns) == list(table.columns)


@pytest.mark.parametrize(
    ("stated", "columns"),
    [
        ({"separator": ";", "decimal": "."}, {"a,b": ["1,2"]}),
        ({"separator": "semicolon", "decimal": "point"}, {"a,b": ["1,2"]}),
        ({"encoding": "utf8"}, {"a": ["1"], "b": ["2"]}),
        ({"separator": "\\t", "decimal": "comma"}, {"a,b": ["1.2"]}),
    ],
)
def test_what_is_said_goes_before_what_is_found(stated, columns):
    assert found("a,b\n1,2\n", stated).columns == columns


@pytest.mark.parametrize(
    ("content", "stated", "says"),
    [
        ("a,b\n1,2\n", {"separator": "ab"}, "--separator is 'ab'"),
        ("a,b\n1,2\n", {"separator": "\n"}, "--separator"),
        ("a,b\n1,2\n", {"decimal": ";"}, "--decimal is ';'"),
        ("a,b\n1,2\n", {"encoding": "klingon"}, "'klingon', which Python does not know"),
        ("ä,b\n1,2\n".encode("cp1252"), {"encoding": "utf-8"}, "cannot be read as text in utf-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, "cannot be read as text"),
        ("a,b\n1,2\n", {"encoding": "rot13"}, "cannot be read as text"),
        ("a;b\n1,5;2.5\n", {}, "column 'a' has numbers such as 1,5 and column 'b' such as 1.5"),
    ],
)
def test_what_cannot_be_read_so_is_refused(content, stated, says):
    with pytest.raises(ModelRefused, match=says):
        found(content, stated)


def test_words_with_commas_are_no_numbers():
    columns = {"a": ["1,5", "NA"], "b": ["x,y", "2,5"], "c": ["1", "2"]}

    assert decimal_of(columns, MISSING) == ","
    assert with_points(columns, MISSING) == {**columns, "a": ["1.5", "NA"]}


def test_a_long_file_is_judged_by_its_beginning():
    text = "a;b\n" + "1,5;2\n" * 20_000
    assert find_dialect(text.encode(), {}).separator == ";"
