"""Which settings the figures speak for."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from plugins.output_rules.plugin import Config as OutputRules
from plugins.rate_limit.settings import Config as RateLimit
from plugins.theft_guard.settings import Config as TheftGuard
from secureml.models.assessment.extraction import Curve
from secureml.models.assessment.recommendation import recommend

from .made_report import EASY, extraction, inversion, membership, report


def tables(found):
    return tomllib.loads("\n".join(found.toml))["plugins"]


def test_where_all_forms_give_away_as_much_full_answers_stay():
    found = recommend(report())
    assert found.form == "full"
    assert tables(found)["output_rules"]["grants"] == [
        {"model": "churn", "answer": "probabilities"}
    ]


def test_where_full_answers_are_copied_sooner_they_are_rounded():
    found = recommend(report(extraction=extraction(**{**EASY, "b_full": 50})))
    assert found.form == "2 decimals"
    assert (
        "an attacker with 20 real rows needs 50 questions for a copy, and 200 with labels"
        in (found.reasons[0])
    )
    assert tables(found)["output_rules"]["grants"][0]["decimals"] == 2


def test_an_attacker_without_rows_counts_as_well():
    never = {**EASY, "a_labels": None, "a_two": None, "a_full": 20}
    found = recommend(report(extraction=extraction(**never)))
    assert found.form == "2 decimals"
    assert "needs 20 questions for a copy, and more than 400 with labels alone" in found.reasons[0]


def test_where_probabilities_give_members_away_only_labels_are_left():
    found = recommend(report(membership=membership(0.55, 0.7)))
    assert found.form == "labels"
    assert tables(found)["output_rules"]["grants"] == [{"model": "churn", "answer": "labels"}]
    assert "an AUC of 0.70, and 0.55 with labels alone" in found.reasons[0]


def test_of_the_highest_probability_alone_the_grant_has_both_numbers():
    forms = ("labels", "top 1, 3 decimals", "full")
    curves = replace(
        report().extraction,
        curves=(
            Curve("one", "B", "full", ((20, 0.95),)),
            Curve("one", "B", "top 1, 3 decimals", ((20, 0.5), (400, 0.95))),
            Curve("one", "B", "labels", ((20, 0.5), (400, 0.95))),
        ),
    )
    found = recommend(
        replace(report(), forms=forms, extraction=curves, membership=None, inversion=None)
    )
    assert tables(found)["output_rules"]["grants"] == [
        {"model": "churn", "answer": "probabilities", "top": 1, "decimals": 3}
    ]


def test_a_difference_within_its_error_is_none():
    assert recommend(report(membership=membership(0.50, 0.52))).form == "full"


def test_where_a_column_is_read_off_full_answers_they_are_rounded():
    found = recommend(report(inversion=inversion(labels=0.4, two=0.42, full=0.9)))
    assert found.form == "2 decimals"
    assert "is guessed right in 90% of the rows, and in 40% with labels" in found.reasons[0]


def test_the_budget_is_half_of_what_a_copy_needs_in_two_digits():
    found = recommend(
        report(extraction=extraction(**{**EASY, "b_full": 400, "b_two": 400, "b_labels": 400}))
    )
    assert found.budget == 200
    [limit] = tables(found)["rate_limit"]["limits"]
    assert limit == {
        "for": "client", "model": "churn", "unit": "rows", "allow": "200 per calendar month",
    }  # fmt: skip


def test_where_no_copy_was_good_enough_as_much_as_was_asked_is_known_to_be_safe():
    never = dict.fromkeys(EASY)
    found = recommend(report(extraction=extraction(**never)))
    assert found.budget == 400
    assert "came to 0.80, and 0.9 counts as copied" in found.reasons[-1]


def test_a_budget_that_would_stop_customers_is_none():
    soon = dict.fromkeys(EASY, 50)
    found = recommend(report(extraction=extraction(**soon)))
    assert found.budget is None
    assert "easy to copy" in found.reasons[-1]
    assert "rate_limit" not in "\n".join(found.toml)


def test_where_real_rows_are_enough_the_budget_is_for_attackers_without():
    found = recommend(
        report(extraction=extraction(**{**EASY, "b_full": 20, "b_two": 20, "b_labels": 20}))
    )
    assert found.budget == 200
    assert "with 20 real rows needs 20 questions: no budget prevents that" in found.reasons[-1]


@pytest.mark.parametrize("constant", [0.9, 0.97])
def test_where_the_most_common_answer_agrees_already_extraction_says_nothing(constant):
    found = recommend(report(extraction=extraction(constant=constant, **{**EASY, "b_full": 20})))
    assert (found.form, found.budget) == ("full", None)
    assert "the same answer to every row agrees" in found.reasons[-1]


def test_without_extraction_there_is_no_budget():
    found = recommend(report(extraction=None, missing={"extraction": "it failed"}))
    assert found.budget is None
    assert "it failed" in found.reasons[-1]


def test_the_lines_are_accepted_by_the_plugins_they_are_for():
    top = report(membership=membership(0.5, 0.5))
    for found in (recommend(top), recommend(report(membership=membership(0.5, 0.9)))):
        OutputRules().load(tables(found)["output_rules"])
        RateLimit().load(tables(found)["rate_limit"])
        commented = "\n".join(line.removeprefix("# ") for line in found.toml[-2:])
        TheftGuard().load(tomllib.loads(commented)["plugins"]["theft_guard"])
