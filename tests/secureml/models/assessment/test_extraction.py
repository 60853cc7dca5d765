"""How many questions a copy needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from secureml.models.assessment.answer_form import FULL, LABELS, rounded
from secureml.models.assessment.extraction import Curve, Extraction, Plan, extract
from secureml.models.assessment.query_strategies import BETWEEN, RANGES, REAL

PLAN = Plan((5, 20, 60), (LABELS, FULL), (RANGES, BETWEEN), seeds=1, trees=10, stop=False)


def run(sealed, plan=PLAN, seed=0):
    rows = sealed.space.matrix(sealed.rows)
    generator = np.random.default_rng(seed)
    return extract(sealed.oracle, sealed.space, rows[100:], rows[:100], plan, generator)


def test_full_answers_of_a_linear_model_are_enough_after_five_questions(linear):
    found = run(linear)
    assert found.questions("full", "A") == 5
    assert found.best("full", "A") == 1.0
    assert (found.questions("labels", "A") or 1000) > 5


def test_the_same_seed_gives_the_same_curves(linear):
    assert run(linear) == run(linear)
    assert run(linear) != run(linear, seed=1)


def test_a_copy_that_learned_nothing_agrees_as_often_as_the_most_common_answer(linear):
    labels = linear.model.predict(np.array(linear.rows[:100]))
    assert run(linear).constant == pytest.approx(max(labels.mean(), 1 - labels.mean()))


def test_a_curve_that_has_reached_its_end_is_not_continued_in_the_short_form(linear):
    curves = run(linear, replace(PLAN, stop=True)).curves
    [full] = [c for c in curves if (c.attacker, c.form) == ("ranges", "full")]
    assert [asked for asked, _ in full.points] == [5]


def test_of_several_seeds_the_median_counts(linear):
    plan = replace(PLAN, forms=(LABELS,), attackers=(RANGES,), points=(20,))
    generator = np.random.default_rng(0)
    rows = linear.space.matrix(linear.rows)
    singles = [
        extract(linear.oracle, linear.space, rows[100:], rows[:100], plan, generator).curves[0].best
        for _ in range(3)
    ]
    [together] = run(linear, replace(plan, seeds=3)).curves
    assert together.best == pytest.approx(np.median(singles))


def test_real_rows_end_when_there_are_no_more(linear):
    found = run(linear, replace(PLAN, attackers=(REAL,), points=(20, 1000), forms=(LABELS,)))
    assert [asked for asked, _ in found.curves[0].points] == [20, 200]


def test_amounts_are_measured_by_r_squared(amounts):
    found = run(amounts, replace(PLAN, forms=(rounded(0), FULL)))
    assert found.measure == "r2"
    assert found.questions("full", "A") is not None
    assert found.best("full") > found.best("0 decimals")


def test_the_least_number_of_questions_is_that_of_the_best_attacker_of_a_class():
    curves = (
        Curve("one", "A", "full", ((20, 0.5), (50, 0.95))),
        Curve("two", "B", "full", ((20, 0.91), (50, 0.97))),
        Curve("three", "C", "full", ((10, 0.99),)),
        Curve("one", "A", "labels", ((20, 0.5), (50, 0.6))),
    )
    found = Extraction("agreement", 0.5, 100, curves)
    assert (found.questions("full"), found.questions("full", "A")) == (20, 50)
    assert found.questions("labels") is None
    assert (found.best("labels"), found.most()) == (0.6, 50)
