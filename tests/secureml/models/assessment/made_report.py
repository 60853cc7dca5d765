"""A report of made-up figures, for tests that need no model behind it."""

from __future__ import annotations

from typing import Any

from secureml.models.assessment.evasion import Evasion
from secureml.models.assessment.extraction import Curve, Extraction
from secureml.models.assessment.inversion import Column, Inversion
from secureml.models.assessment.membership import Attack, Membership
from secureml.models.assessment.report import Report

FORMS = ("labels", "2 decimals", "full")


def extraction(*, constant: float = 0.6, **reached: int | None) -> Extraction:
    """Return curves that reach 0.9 after so many questions, by grade and form: ``a_labels=100``."""
    curves = []
    for key, questions in reached.items():
        grade, form = key[0].upper(), {"labels": "labels", "two": "2 decimals"}.get(key[2:], "full")
        points = [
            (asked, 0.95 if questions and asked >= questions else 0.8)
            for asked in (20, 50, 100, 200, 400)
        ]
        curves.append(Curve(f"attacker {grade}", grade, form, tuple(points)))
    return Extraction("agreement", constant, 200, tuple(curves))


EASY = {"a_labels": 400, "a_two": 400, "a_full": 400, "b_labels": 200, "b_two": 200, "b_full": 200}


def membership(labels: float, full: float) -> Membership:
    """Return AUCs of two forms of the answer; rounded ones are as full ones."""
    attacks = tuple(
        Attack("confidence", form, value, None)
        for form, value in zip(FORMS, (labels, full, full), strict=True)
    )
    return Membership(1000, 1000, 0.5, attacks)


def inversion(**by_form: float) -> Inversion:
    """Return one column, guessed right so often."""
    found = {"2 decimals": by_form["two"], "full": by_form["full"], "labels": by_form["labels"]}
    ordered = tuple((form, found[form]) for form in FORMS)
    return Inversion(500, (Column('plan <&> "x"', 3, 0.4, ordered),))


def report(**changes: Any) -> Report:
    """Return a report with every part, or with what is given."""
    parts: dict[str, Any] = {
        "membership": membership(0.5, 0.5),
        "extraction": extraction(**EASY),
        "evasion": Evasion((0.5, 1.0, 1.5), (2.0, 2.5, 3.0), 4, 6, 900),
        "substituted": 0.25,
        "inversion": inversion(labels=0.4, two=0.4, full=0.4),
    }
    return Report("churn", "3", "classifier", "short", FORMS, 1234, **{**parts, **changes})
