"""Which rows attackers ask."""

from __future__ import annotations

import numpy as np

from secureml.models.assessment.query_strategies import (
    BETWEEN,
    RANGES,
    REAL,
    REAL_ROWS,
    UNCERTAIN,
    Knowledge,
)  # fmt: skip


def begin(sealed, count=REAL_ROWS):
    real = sealed.space.matrix(sealed.rows)[:count]
    return Knowledge(sealed.space, real, real[:0], None)


def test_who_has_no_rows_asks_within_the_ranges(linear, chance):
    rows = RANGES.strategy(begin(linear, 0), 100, chance)
    assert (rows >= linear.space.low).all()
    assert (rows <= linear.space.high).all()


def test_who_has_a_few_rows_asks_them_first_and_then_between_them(linear, chance):
    known = begin(linear)
    rows = BETWEEN.strategy(known, 50, chance)
    assert len(rows) == 50
    assert rows[:REAL_ROWS].tolist() == known.real.tolist()
    assert not {tuple(row) for row in rows[REAL_ROWS:]} & {tuple(row) for row in known.real}


def test_rows_between_two_have_words_of_one_of_them(words, chance):
    rows = words.space.instances(BETWEEN.strategy(begin(words), 60, chance))
    assert {row[1] for row in rows} <= {"basic", "plus", "pro"}
    assert all(type(row[0]) is int for row in rows)


def test_real_rows_are_asked_once_each_until_there_are_no_more(linear, chance):
    known = begin(linear, 30)
    first = REAL.strategy(known, 20, chance)
    after = Knowledge(known.space, known.real, first, None)
    assert len(REAL.strategy(after, 20, chance)) == 10


def test_active_learning_asks_nearer_to_the_boundary(linear, chance):
    known = begin(linear)
    known = Knowledge(known.space, known.real, known.real, linear.oracle.ask(known.real))
    margins = []
    for strategy in (BETWEEN.strategy, UNCERTAIN.strategy):
        shares = linear.oracle.ask(strategy(known, 40, chance)).shares
        margins.append(np.abs(shares[:, 0] - shares[:, 1]).mean())
    assert margins[1] < margins[0]
