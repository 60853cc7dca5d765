"""The model as an attacker has it."""

from __future__ import annotations

import numpy as np


def test_answers_are_the_models_and_every_row_is_counted(linear):
    oracle = linear.oracle
    found = oracle.ask(linear.space.matrix(linear.rows))
    rows = np.array(linear.rows)
    assert found.labels.tolist() == linear.model.predict(rows).tolist()
    assert found.shares.tolist() == linear.model.predict_proba(rows).tolist()
    oracle.ask(linear.space.matrix(linear.rows[:7]))
    assert oracle.asked == 307


def test_labels_are_places_in_the_list_of_classes(words):
    found = words.oracle.ask(words.space.matrix(words.rows[:20]))
    assert [("no", "yes")[code] for code in found.labels] == words.handle.predict(
        words.handle.read(words.rows[:20])
    ).predictions


def test_a_regressor_answers_amounts(amounts):
    found = amounts.oracle.ask(amounts.space.matrix(amounts.rows[:5]))
    assert found.labels is None
    assert found.amounts.tolist() == amounts.model.predict(np.array(amounts.rows[:5])).tolist()


def test_more_rows_than_a_request_has_are_asked_in_parts(linear):
    many = np.tile(linear.space.matrix(linear.rows), (8, 1))
    assert len(linear.oracle.ask(many).labels) == 2400
