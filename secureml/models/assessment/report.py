"""What an assessment found, and how it is written: JSON for scripts, a few numbers on the card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secureml.models.assessment.evasion import Evasion
from secureml.models.assessment.extraction import Extraction
from secureml.models.assessment.inversion import Inversion
from secureml.models.assessment.membership import Membership

PARTS = ("membership", "extraction", "evasion", "inversion")


@dataclass(frozen=True)
class Report:
    """What one version of a model gives away; a part that was not measured is None.

    ``missing`` says of each such part why; ``forms`` are the names of the forms of the answer, from
    the coarsest to the full one; ``notes`` are what limits the figures, each a sentence.
    """

    name: str
    version: str
    kind: str
    effort: str
    forms: tuple[str, ...]
    questions: int
    membership: Membership | None = None
    extraction: Extraction | None = None
    evasion: Evasion | None = None
    substituted: float | None = None
    inversion: Inversion | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def as_json(report: Report) -> dict[str, Any]:
    """Return everything that was found, as JSON; numbers rounded to six decimals."""
    found: dict[str, Any] = {
        "name": report.name,
        "version": report.version,
        "kind": report.kind,
        "effort": report.effort,
        "forms": list(report.forms),
        "questions": report.questions,
        "not_measured": dict(report.missing),
        "notes": list(report.notes),
    }
    if report.membership is not None:
        found["membership"] = _membership(report.membership)
    if report.extraction is not None:
        found["extraction"] = _extraction(report.extraction)
    if report.evasion is not None or report.substituted is not None:
        found["evasion"] = _evasion(report)
    if report.inversion is not None:
        found["inversion"] = _inversion(report.inversion)
    return found


def _membership(found: Membership) -> dict[str, Any]:
    return {
        "members": found.members,
        "others": found.others,
        "blind_auc": _near(found.blind),
        "attacks": [
            {
                "attack": each.name,
                "form": each.form,
                "auc": _near(each.auc),
                "standard_error": _near(found.error(each)),
                "true_positives_at_1_percent": _near(each.true_positives),
            }
            for each in found.attacks
        ],
    }


def _extraction(found: Extraction) -> dict[str, Any]:
    return {
        "measure": found.measure,
        "rows": found.rows,
        "constant_copy": _near(found.constant),
        "curves": [
            {
                "attacker": curve.attacker,
                "class": curve.grade,
                "form": curve.form,
                "questions_to_90_percent": curve.reached,
                "points": [[asked, _near(value)] for asked, value in curve.points],
            }
            for curve in found.curves
        ],
    }


def _evasion(report: Report) -> dict[str, Any]:
    written: dict[str, Any] = {}
    found = report.evasion
    if found is not None:
        written = {
            "median_distance": _near(found.median),
            "distances": [_near(each) for each in found.distances],
            "distances_of_real_rows": [_near(each) for each in found.starts],
            "rows": found.rows,
            "columns": found.columns,
            "questions": found.questions,
        }
    if report.substituted is not None:
        written["moved_by_one_word"] = _near(report.substituted)
    return written


def _inversion(found: Inversion) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "columns": [
            {
                "name": column.name,
                "values": column.values,
                "baseline": _near(column.baseline),
                "accuracy": {form: _near(value) for form, value in column.by_form},
            }
            for column in found.columns
        ],
    }


def for_card(report: Report) -> dict[str, Any]:
    """Return the few numbers that a card keeps."""
    found: dict[str, Any] = {"questions": report.questions}
    extraction, evasion = report.extraction, report.evasion
    if extraction is not None:
        found["extraction"] = {
            form: {
                "questions_to_90_percent": extraction.questions(form),
                "best": _near(extraction.best(form), 3),
                "asked_at_most": extraction.most(),
            }
            for form in report.forms
        }
        found["constant_copy"] = _near(extraction.constant, 3)
    if evasion is not None:
        found["evasion"] = {"median_distance": _near(evasion.median, 3), "rows": evasion.rows}
    if report.substituted is not None:
        found["moved_by_one_word"] = _near(report.substituted, 3)
    if report.inversion is not None:
        worst = report.inversion.worst(report.forms[-1])
        found["inversion"] = {
            "column": worst.name,
            "baseline": _near(worst.baseline, 3),
            "with_full_answer": _near(dict(worst.by_form)[report.forms[-1]], 3),
        }
    found["not_measured"] = dict(report.missing)
    return found


def _near(value: float | None, decimals: int = 6) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, decimals)
