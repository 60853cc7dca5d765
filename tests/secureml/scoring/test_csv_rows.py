from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from secureml.scoring.csv_rows import as_csv, header_line


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_written_to_the_bit(numbers):
    assert [float(line) for line in as_csv([numbers]).split()] == numbers


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
                min_size=1))  # fmt: skip
def test_texts_are_read_as_they_were_written(texts):
    found = csv.reader(io.StringIO(as_csv([texts, texts]).decode(), newline=""))

    assert list(found) == [[text, text] for text in texts]


def test_truth_values_are_those_of_json_and_what_is_withheld_is_empty():
    assert as_csv([[True, False], [None, 0.5]]) == b"true,\nfalse,0.5\n"


def test_the_header_quotes_what_must_be_quoted():
    assert header_line(["a,b", "prediction"]) == b'"a,b",prediction\n'
