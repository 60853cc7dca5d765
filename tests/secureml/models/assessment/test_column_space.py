"""Rows as numbers and back, and rows that an attacker makes up."""

from __future__ import annotations

import numpy as np

from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.card import Feature

FEATURES = (
    Feature("amount", "float", 0.0, 10.0, missing="allow"),
    Feature("count", "integer", 1, 5),
    Feature("plan", "category", categories=("basic", "pro")),
    Feature("active", "boolean"),
    Feature("note", "text", missing="allow"),
)
ROWS = [
    [2.5, 3, "pro", True, "late again"],
    [None, 1, "basic", False, None],
    [7.0, 5, "pro", False, "fine"],
]


def test_rows_come_back_as_they_were():
    space = ColumnSpace(FEATURES, ROWS)
    back = space.instances(space.matrix(ROWS))
    assert back == ROWS
    assert [[type(cell) for cell in row] for row in back] == [
        [type(cell) for cell in row] for row in ROWS
    ]


def test_what_is_out_of_range_or_not_whole_is_brought_where_a_request_may_be():
    space = ColumnSpace(FEATURES, ROWS)
    found = space.within(np.array([[99.0, 2.4, 1, 1, 0]]))
    assert found.tolist() == [[10.0, 2.0, 1, 1, 0]]


def test_made_up_rows_are_in_range_and_of_known_words(chance):
    space = ColumnSpace(FEATURES, ROWS)
    rows = space.instances(space.uniform(200, chance))
    assert all(0 <= row[0] <= 10 and row[1] in {1, 2, 3, 4, 5} for row in rows)
    assert {row[2] for row in rows} == {"basic", "pro"}
    assert {row[3] for row in rows} == {True, False}
    assert {type(row[1]) for row in rows} == {int}


def test_made_up_rows_are_answered(words, chance):
    assert len(words.oracle.ask(words.space.uniform(50, chance)).labels) == 50


def test_a_copy_learns_from_deviations_and_one_column_for_each_word():
    space = ColumnSpace(FEATURES[1:3], [[1, "pro"], [3, "basic"]])
    assert space.encode(space.matrix([[3, "pro"]])).tolist() == [[1.0, 0.0, 1.0]]
    assert space.encode(space.matrix([[3, "pro"]]), leave_out=1).tolist() == [[1.0]]


def test_a_missing_number_is_said_in_a_column_of_its_own():
    space = ColumnSpace(FEATURES[:1], [[1.0], [None], [3.0]])
    assert space.encode(space.matrix([[None], [3.0]])).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_texts_are_encoded_by_their_words():
    space = ColumnSpace(FEATURES[4:], [["late again"], ["again late"], ["fine"], [None]])
    one, two, three, none = space.encode(
        space.matrix([["late again"], ["again late"], ["fine"], [None]])
    )
    assert one.tolist() == two.tolist() != three.tolist()
    assert not none.any()


def test_dates_are_words_in_their_order():
    day = Feature("since", "date", missing="allow")
    rows = [["2026-01-03T00:00:00"], [None], ["2026-01-01T00:00:00"]]
    space = ColumnSpace([day], rows)
    matrix = space.matrix(rows)
    assert matrix[0, 0] > matrix[2, 0]
    assert np.isnan(matrix[1, 0])
    assert space.instances(matrix) == rows
    assert space.encode(matrix)[0, 0] > space.encode(matrix)[2, 0]
