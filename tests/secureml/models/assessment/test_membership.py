"""Was a row in the training table?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from secureml.models.assessment.answer_form import FULL, LABELS, Answers, rounded
from secureml.models.assessment.membership import Known, infer

FORMS = (LABELS, rounded(1), FULL)


def noise(chance, count=200):
    """Rows whose answers nothing can predict: who knows them has learned them by heart."""
    return chance.normal(size=(count, 4)), chance.integers(0, 2, count)


def known(model, rows, truth):
    shares = model.predict_proba(rows)
    return Known(rows, truth, Answers(shares.argmax(axis=1), shares))


def test_a_model_that_learned_its_rows_by_heart_is_found_out_by_labels_alone(chance):
    rows, truth = noise(chance)
    model = DecisionTreeClassifier(random_state=0).fit(rows, truth)
    found = infer(known(model, rows, truth), known(model, *noise(chance)), FORMS, chance)
    # Right for every member, and for one of two others.
    assert found.best("labels").auc == pytest.approx(0.75, abs=0.05)
    assert found.best("full").auc == pytest.approx(0.75, abs=0.05)


def test_a_model_that_never_saw_either_gives_away_nothing(chance):
    model = DecisionTreeClassifier(random_state=0).fit(*noise(chance))
    found = infer(known(model, *noise(chance)), known(model, *noise(chance)), FORMS, chance)
    for each in found.attacks:
        assert abs(each.auc - 0.5) < 3 * found.error(each), each


def test_tables_that_differ_are_seen_without_any_answer(chance):
    model = DecisionTreeClassifier(random_state=0).fit(*noise(chance))
    rows, truth = noise(chance)
    one, two = known(model, *noise(chance)), known(model, rows + 1.5, truth)
    assert infer(one, two, FORMS, chance).blind > 0.85
    alike = infer(one, known(model, rows, truth), FORMS, chance)
    assert alike.blind == pytest.approx(0.5, abs=0.1)


def test_modified_entropy_is_that_of_the_paper(chance):
    """Song and Mittal 2021, equation 8; of a sure and right answer it is 0."""
    shares = np.array([[0.7, 0.2, 0.1]] * 40)
    rows, truth = np.zeros((40, 1)), np.zeros(40, dtype=int)
    member = Known(rows, truth, Answers(truth, shares))
    entropy = -0.3 * math.log(0.7) - 0.2 * math.log(0.8) - 0.1 * math.log(0.9)
    other = np.array([[0.99, 0.005, 0.005]] * 40)
    lower = -0.01 * math.log(0.99) - 2 * 0.005 * math.log(0.995)
    found = infer(member, Known(rows, truth, Answers(truth, other)), (FULL,), chance)
    [area] = [each.auc for each in found.attacks if each.name == "modified entropy"]
    assert lower < entropy
    assert area == 0.0  # members have the higher entropy here, and lower scores


def test_the_error_of_a_regressor_tells_its_rows(chance):
    rows, truth = chance.normal(size=(150, 2)), chance.normal(size=150)
    one = Known(rows, truth, Answers(amounts=truth + chance.normal(0, 0.1, 150)))
    two = Known(rows, truth, Answers(amounts=truth + chance.normal(0, 1.0, 150)))
    found = infer(one, two, (rounded(0), FULL), chance)
    names = {(each.form, each.name) for each in found.attacks}
    assert ("full", "loss") in names
    assert found.best("full").auc > 0.85
    assert found.best("0 decimals").auc < found.best("full").auc


def test_the_attack_that_learns_sees_each_row_only_after_it_was_fitted_on_others(chance):
    """Else it would know every member by its number, and guesses would look like findings."""
    answers = Answers(np.zeros(100, dtype=int), chance.dirichlet([1, 1], 100))
    one = Known(np.zeros((100, 1)), np.zeros(100, dtype=int), answers)
    two = Known(
        np.zeros((100, 1)),
        np.zeros(100, dtype=int),
        Answers(np.zeros(100, dtype=int), chance.dirichlet([1, 1], 100)),
    )
    [learned] = [a for a in infer(one, two, (FULL,), chance).attacks if a.name == "learned"]
    assert abs(learned.auc - 0.5) < 0.15
