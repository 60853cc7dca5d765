"""An assessment for the terminal."""

from __future__ import annotations

from secureml.models.assessment.evasion import Evasion
from secureml.models.assessment.recommendation import recommend
from secureml.models.assessment.table_text import as_text

from .made_report import membership, report


def text(**changes):
    found = report(**changes)
    return as_text(found, recommend(found))


def test_each_part_has_its_table():
    found = text()
    assert "churn version 3: classifier, short assessment, 1234 questions" in found
    assert "attacker B  B      full        200" in found
    assert "median 1.25 deviations over 6 columns (3 of 4 rows, 900 questions)" in found
    assert "one other word moves 25% of the rows" in found
    assert "[[plugins.output_rules.grants]]" in found


def test_the_best_attack_has_its_error_and_guessing_beside_it():
    found = text(membership=membership(0.5, 0.7))
    assert "0.50 is guessing; without any answer 0.50" in found
    assert "full        confidence   0.70 ± 0.01  too few rows" in found


def test_what_is_missing_says_why():
    found = text(membership=None, missing={"membership": "it needs a holdout"}, notes=("a note",))
    assert "membership: not measured: it needs a holdout" in found
    assert "note: a note" in found


def test_a_median_of_rows_that_were_not_moved_is_no_number():
    assert "not found for half of the rows" in text(evasion=Evasion((1.0,), (2.0,), 4, 6, 9))
