"""All attacks on one model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from secureml.models.assessment import evasion
from secureml.models.assessment.assess import LONG, SHORT, NotAssessed, assess, forms_of
from secureml.models.assessment.labelled_rows import LabelledRows
from secureml.models.assessment.report import as_json

QUICK = replace(
    SHORT, points=(20, 50), trees=5, targets=5, evasion=evasion.Effort(2, 10), guesses=20
)


def run(sealed, seed=0, effort=QUICK, **words):
    return assess(sealed.handle, sealed.rows, effort, np.random.default_rng(seed), **words)


@pytest.fixture(scope="module")
def of_words(words):
    return run(words)


def test_each_part_is_measured_or_says_why_not(of_words, linear, amounts):
    assert of_words.missing.keys() == {"membership"}
    assert of_words.substituted is not None
    assert run(linear).missing["inversion"] == "no column has 2 to 10 different values"
    found = run(amounts)
    assert found.missing["evasion"] == "an amount has no boundary"
    assert "give them with --holdout" in found.missing["membership"]


def test_with_a_holdout_membership_is_measured_and_copies_are_judged_on_it(words, of_words):
    labelled = LabelledRows(
        words.rows[60:], words.answers[60:], words.rows[:60], words.answers[:60], ("a note",)
    )
    found = run(words, labelled=labelled)
    assert (found.membership.members, found.membership.others) == (240, 60)
    assert found.missing == {}
    assert found.notes == ("a note",)
    assert (found.extraction.rows, of_words.extraction.rows) == (60, 150)


def test_the_same_seed_gives_the_same_figures(words, of_words):
    assert json.dumps(as_json(run(words))) == json.dumps(as_json(of_words))
    assert run(words, seed=1) != of_words


def test_every_question_is_counted(linear):
    found = run(linear)
    # The judge's rows, 50 of each attacker; evasion counts its own.
    assert found.questions == 150 + 2 * 50 + found.evasion.questions


def test_each_part_is_reported_when_it_begins(linear):
    parts = []
    run(linear, progress=parts.append)
    assert parts == [
        "membership", "extraction", "extraction: ranges, 1 of 1",
        "extraction: between rows, 1 of 1", "evasion", "substitution", "inversion",
    ]  # fmt: skip


def test_a_table_of_a_few_rows_is_refused(linear):
    with pytest.raises(NotAssessed, match="the table has 39 rows, and 40 are needed"):
        assess(linear.handle, linear.rows[:39], QUICK, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "why"),
    [({"kind": "transformer"}, "a transformer"), ({"outputs": 3}, "a model of several outputs")],
)
def test_what_no_attack_fits_is_refused(linear, monkeypatch, change, why):
    monkeypatch.setattr(linear.handle, "card", replace(linear.handle.card, **change))
    with pytest.raises(NotAssessed, match=why):
        run(linear)


def test_a_model_that_fails_on_rows_of_an_attack_is_said_so(linear, monkeypatch):
    def failing(rows):
        raise ValueError("no")

    monkeypatch.setattr(linear.handle, "_predict", failing)
    found = run(linear)
    assert "does not answer rows of the attack (raised.ValueError)" in found.missing["extraction"]
    assert found.extraction is None


def test_the_long_form_has_more_forms_of_the_answer(linear, words, amounts):
    assert [f.name for f in forms_of(linear.handle, 2, every=False)] == [
        "labels", "2 decimals", "full",
    ]  # fmt: skip
    assert [f.name for f in forms_of(linear.handle, 2, every=True)] == [
        "labels", "1 decimal", "2 decimals", "full",
    ]  # fmt: skip
    three = replace(words.handle.card, classes=("a", "b", "c"))
    words.handle.card, before = three, words.handle.card
    assert forms_of(words.handle, 2, every=True)[1].name == "top 1, 2 decimals"
    words.handle.card = before
    assert [f.name for f in forms_of(amounts.handle, 3, every=True)] == ["3 decimals", "full"]
    assert LONG.seeds > SHORT.seeds
