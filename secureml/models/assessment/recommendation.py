"""Which settings the figures of a model speak for, as lines of secureml.toml with their reasons.

The coarsest answer costs callers most, so a form of the answer is recommended only where the finer
ones give away clearly more. A budget is half of what the best attacker needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from secureml.models.assessment.extraction import REACHED, Extraction
from secureml.models.assessment.query_strategies import REAL_ROWS
from secureml.models.assessment.report import Report

# A finer form is as good as the coarsest one if it needs at least this share of the questions,
COPIED = 0.75
# if the AUC of its best membership attack is at most so much higher,
TELLING = 0.03
# and if its answers make no guess of a column better by more than this.
GUESSED = 0.05
USELESS_BUDGET = 50  # rows: customers need more
_ATTACKERS = {
    "B": f"an attacker with {REAL_ROWS} real rows",
    "A": "an attacker without real rows",
}


@dataclass(frozen=True)
class Recommendation:
    """The form of the answer, the budget in rows for each client (None: none helps), the reasons.

    ``toml`` are lines to paste into secureml.toml.
    """

    form: str
    budget: int | None
    reasons: tuple[str, ...]
    toml: tuple[str, ...]


def recommend(report: Report) -> Recommendation:
    """Return what is recommended for the model of a report."""
    form, reasons = _form(report)
    budget, why = _budget(report, form)
    return Recommendation(form, budget, (*reasons, why), _toml(report, form, budget))


def _form(report: Report) -> tuple[str, list[str]]:
    coarsest = report.forms[0]
    if len(report.forms) == 1:
        return coarsest, ["The model has no probabilities: its answers are labels already."]
    reasons: list[str] = []
    for form in reversed(report.forms):
        excess = _excess(report, form, coarsest)
        if not excess:
            break
        reasons.append(f"With {_words(form)} {excess}.")
    if form != coarsest:
        alike = f"With {_words(form)} it gives away about as much as with {_words(coarsest)}."
        reasons.append(alike)
    return form, reasons


def _excess(report: Report, form: str, coarsest: str) -> str:
    """Return by what a form gives away clearly more than the coarsest; empty where it does not."""
    if form == coarsest:
        return ""
    found = (
        _copied(report.extraction, form, coarsest),
        _inferred(report, form, coarsest),
        _inverted(report, form, coarsest),
    )
    return next(filter(None, found), "")


def _copied(found: Extraction | None, form: str, coarsest: str) -> str:
    if found is None or found.constant >= REACHED:
        return ""
    for grade, who in _ATTACKERS.items():
        fine, coarse = found.questions(form, grade), found.questions(coarsest, grade)
        if fine is not None and fine < COPIED * (coarse or math.inf):
            than = f"more than {found.most()}" if coarse is None else str(coarse)
            return f"{who} needs {fine} questions for a copy, and {than} with {_words(coarsest)}"
    return ""


def _inferred(report: Report, form: str, coarsest: str) -> str:
    found = report.membership
    if found is None:
        return ""
    fine, coarse = found.best(form), found.best(coarsest)
    # What is within the error is no difference.
    if fine.auc - coarse.auc <= max(TELLING, 2 * found.error(fine)):
        return ""
    return (
        f"members differ from other rows with an AUC of {fine.auc:.2f}, and {coarse.auc:.2f} "
        f"with {_words(coarsest)}"
    )


def _inverted(report: Report, form: str, coarsest: str) -> str:
    if report.inversion is None:
        return ""
    # Four standard errors of a share at most: many columns are tried.
    margin = max(GUESSED, 2 / math.sqrt(report.inversion.rows))
    worst = report.inversion.worst(form)
    if worst.advantage(form) - worst.advantage(coarsest) <= margin:
        return ""
    right = dict(worst.by_form)
    return (
        f"the column {worst.name!r} is guessed right in {right[form]:.0%} of the rows, and in "
        f"{right[coarsest]:.0%} with {_words(coarsest)}"
    )


def _budget(report: Report, form: str) -> tuple[int | None, str]:
    found = report.extraction
    if found is None:
        return None, f"No budget: extraction was not measured ({report.missing['extraction']})."
    if found.constant >= REACHED:
        return None, (
            f"No budget: the same answer to every row agrees in {found.constant:.0%} already."
        )
    useless = ""
    for grade, who in _ATTACKERS.items():
        needed = found.questions(form, grade)
        budget = found.most() if needed is None else _two_digits(needed / 2)
        if budget >= USELESS_BUDGET:
            return budget, f"{useless}{_why_budget(found, form, grade, budget, needed)}"
        useless += f"{who[0].upper()}{who[1:]} needs {needed} questions: no budget prevents that. "
    return None, f"{useless}This model is easy to copy."


def _why_budget(found: Extraction, form: str, grade: str, budget: int, needed: int | None) -> str:
    who = _ATTACKERS[grade]
    if needed is not None:
        return (
            f"A budget of {budget} rows for each client is half of the {needed} questions that "
            f"{who} needs."
        )
    return (
        f"A budget of {budget} rows for each client: with so many, the best copy of {who} came to "
        f"{found.best(form, grade):.2f}, and {REACHED} counts as copied."
    )


def _two_digits(value: float) -> int:
    if value < 1:
        return 0
    step = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return int(value // step * step)


def _words(form: str) -> str:
    return {"labels": "labels alone", "full": "full answers"}.get(form, form)


def _toml(report: Report, form: str, budget: int | None) -> tuple[str, ...]:
    lines = ["[[plugins.output_rules.grants]]", f'model = "{report.name}"', *_grant(form)]
    if budget is not None:
        lines += [
            "",
            "[[plugins.rate_limit.limits]]",
            'for = "client"',
            f'model = "{report.name}"',
            'unit = "rows"',
            f'allow = "{budget} per calendar month"',
            "",
            "# Or for every model, counted by different rows:",
            "# [plugins.theft_guard]",
            f"# budget = {budget}",
        ]
    return tuple(lines)


def _grant(form: str) -> list[str]:
    if form == "labels":
        return ['answer = "labels"']
    lines = ['answer = "probabilities"']
    for part in form.split(", ") if form != "full" else ():
        one, two = part.split()  # "top 1" or "2 decimals"
        lines.append(f"top = {two}" if one == "top" else f"decimals = {one}")
    return lines
