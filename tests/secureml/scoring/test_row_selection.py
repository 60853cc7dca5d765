"""A row is scored if and only if the API's own checks accept it, and with the same answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.input_rules.validation import InputValidator, ValidationPolicy
from secureml.models.card import Feature
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from secureml.scoring.cell_values import value_of
from secureml.scoring.chosen_columns import Columns
from secureml.scoring.csv_chunk import CsvChunk, CsvTable
from secureml.scoring.csv_file import CsvLayout
from secureml.scoring.csv_rows import as_csv
from secureml.scoring.row_selection import RowSelector, search
from tests.made_card import card

words = {
    "float": ("1", "2.5", "-3", "1e2", "1e400", "", "NA", "x", " 7 ", "9" * 20),
    "integer": ("1", "2", "3.0", "2.5", "", "x", "1e3", "9" * 20),
    "boolean": ("true", "False", "1", "", "no"),
    "category": ("red", "blue", "NZ", "purple", "", "NA"),
    "date": ("2026-01-31", "2026-02-01", "31.1.2026", ""),
    "text": ("a", "b\x07", "", "c" * 5000),
}


def texts_of(feature):
    known = {name: st.sampled_from(found) for name, found in words.items()}
    return known[feature.dtype]


def rows_of(features):
    return st.lists(st.tuples(*map(texts_of, features)), min_size=1, max_size=40)


def table_of(features, rows):
    layout = CsvLayout(tuple(f.name for f in features), ",", ".", "utf-8", 0, 2)
    data = as_csv([[row[at] for row in rows] for at in range(len(features))])
    columns = Columns(tuple(range(len(features))), ())
    return CsvTable(CsvChunk("in.csv", data, 2, layout, columns), features)


def by_the_api(about, validator, features, row):
    """Return the codes by which a request with this row alone is refused."""
    instances = [{f.name: value_of(f, text) for f, text in zip(features, row, strict=True)}]
    try:
        rows = RowReader(about).read(instances)
    except RowsRefused as refused:
        return {code for _, code in refused.faults}
    report = validator.validate(rows, instances)
    return {code for _, code in report.faults.get("refuse", [])}


def check(about, policy, features, rows):
    validator = InputValidator(about, policy)
    selector = RowSelector(about, [validator], each_note=False)
    found = selector.select(table_of(features, rows))

    expected = [by_the_api(about, validator, features, row) for row in rows]
    assert found.indices == [at for at, codes in enumerate(expected) if not codes]
    # A line that is blank throughout is none, so places tell which row is meant.
    for note in found.notes:
        assert note.code in expected[note.place - 2]
    assert {note.place - 2 for note in found.notes} == {
        at for at, codes in enumerate(expected) if codes
    }
    return found


@settings(max_examples=150)
@given(st.data())
def test_a_row_is_accepted_if_and_only_if_the_api_accepts_it(mixed, plain, data):
    sealed = data.draw(st.sampled_from((mixed, plain)))
    policy = ValidationPolicy(
        margin=0.1,
        ranges=data.draw(st.sampled_from(("refuse", "clip", "flag"))),
        control_characters=data.draw(st.sampled_from(("refuse", "clip"))),
    )
    about = sealed.handle.card
    rows = data.draw(rows_of(about.features))
    found = check(about, policy, about.features, rows)
    if not found.indices:
        return
    good = [rows[at] for at in found.indices]
    instances = [
        {f.name: value_of(f, text) for f, text in zip(about.features, row, strict=True)}
        for row in good
    ]
    read = InputValidator(about, policy).validate(RowReader(about).read(instances), instances).rows
    asked, expected = sealed.handle.predict(found.rows), sealed.handle.predict(read)
    assert (asked.predictions, asked.probabilities) == (
        expected.predictions, expected.probabilities
    )  # fmt: skip


CARDS = [
    card(Feature("f"), Feature("t", "text", missing="allow")),
    card(Feature("i", "integer"), Feature("f", missing="allow"), container="frame"),
    card(Feature("c", "category", categories=("red", "blue"), unknown="allow"), Feature("f")),
    card(Feature("d", "date", missing="allow"), Feature("b", "boolean"), Feature("f")),
    card(Feature("i", "integer", missing="allow"), Feature("f", minimum=0, maximum=10)),
]


@settings(max_examples=150)
@given(st.sampled_from(CARDS), st.data())
def test_so_it_is_for_cards_of_every_kind(about, data):
    rows = data.draw(rows_of(about.features))
    check(about, ValidationPolicy(text_length=100), about.features, rows)


def test_clipped_cells_are_counted_and_told_one_by_one_on_request():
    about = card(Feature("a", minimum=0, maximum=10), Feature("b"))
    rules = InputValidator(about, ValidationPolicy(ranges="clip"))
    rows = [(str(n), "1") for n in range(30)]
    for each_note in (False, True):
        selector = RowSelector(about, [rules], each_note=each_note)
        found = selector.select(table_of(about.features, rows))

        assert selector.counts == {"clipped above_maximum": 18}
        assert found.rows[:, 0].max() == 11  # the range and its margin
        told = [(note.place, note.column, note.code, note.done) for note in found.notes]
        expected = [(n + 2, "a", "above_maximum", "clipped") for n in range(12, 30)]
        assert told == (expected if each_note else [])


def test_the_column_of_a_fault_is_named_as_it_is():
    about = card(Feature("a/b~c"), Feature("x"))
    rows = [("1", "2"), ("no", "2")]
    found = RowSelector(about, [], each_note=False).select(table_of(about.features, rows))

    assert [tuple(note) for note in found.notes] == [(3, "a/b~c", "type", "refused")]


def test_a_chunk_without_a_good_row_asks_nothing():
    about = card(Feature("a"), Feature("b"))
    found = RowSelector(about, [], each_note=False).select(table_of(about.features, [("x", "y")]))

    assert (found.rows, found.indices) == (None, [])
    assert {note.column for note in found.notes} == {"a", "b"}


@given(st.sets(st.integers(0, 199)), st.integers(1, 200))
def test_every_row_of_a_part_that_does_not_fit_is_looked_at(bad, length):
    looked = []
    search(0, length, lambda first, last: bad.isdisjoint(range(first, last)), looked.append)

    assert {row for row in bad if row < length} <= set(looked)
    assert len(looked) == len(set(looked))


@pytest.mark.parametrize("bad", [0, 5000, 9999])
def test_one_bad_row_of_many_costs_few_looks(bad):
    looked, asked = [], []
    search(0, 10_000, lambda *part: asked.append(part) or bad not in range(*part), looked.append)

    assert bad in looked
    assert (len(looked), len(asked)) < (20, 30)


def test_numbers_are_read_like_instances():
    about = card(Feature("a"), Feature("b", "integer", missing="allow"))
    reader = RowReader(about)
    values = np.array([[1.5, np.nan], [2.0, 3.0]])

    assert np.array_equal(
        reader.read_numbers(values), reader.read([[1.5, None], [2.0, 3]]), equal_nan=True
    )
    for wrong in ([[np.nan, 1]], [[np.inf, 1]], [[1, 0.5]]):
        assert reader.read_numbers(np.array(wrong)) is None
