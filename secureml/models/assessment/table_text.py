"""An assessment as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secureml.models.assessment.extraction import Extraction
from secureml.models.assessment.recommendation import Recommendation
from secureml.models.assessment.report import Report


def as_text(report: Report, recommendation: Recommendation) -> str:
    """Return the report and what is recommended, for an operator to read."""
    head = f"{report.name} version {report.version}: {report.kind}, {report.effort} assessment"
    sections = [
        f"{head}, {report.questions} questions",
        *_sections(report),
        *(f"{part}: not measured: {why}" for part, why in report.missing.items()),
        *(f"note: {note}" for note in report.notes),
        "\n".join(["recommended", *(f"  {reason}" for reason in recommendation.reasons)]),
        "\n".join(recommendation.toml),
    ]
    return "\n\n".join(sections)


def _sections(report: Report) -> Iterator[str]:
    if report.membership is not None:
        yield _membership(report)
    if report.extraction is not None:
        yield _extraction(report.extraction)
    if report.evasion is not None or report.substituted is not None:
        yield _evasion(report)
    if report.inversion is not None:
        yield _inversion(report)


def _membership(report: Report) -> str:
    found = report.membership
    assert found is not None  # noqa: S101 - asked by the caller
    head = (
        f"membership inference ({found.members} members, {found.others} other rows; "
        f"0.50 is guessing; without any answer {found.blind:.2f})"
    )
    rows = [
        [
            each.form,
            each.name,
            f"{each.auc:.2f} ± {found.error(each):.2f}",
            _share(each.true_positives),
        ]
        for each in map(found.best, report.forms)
    ]
    return _table(head, ["answer", "best attack", "AUC", "found at 1 % false alarms"], rows)


def _extraction(found: Extraction) -> str:
    r2 = found.measure == "r2"
    what = "R2 of 0.9" if r2 else "90 % agreement"
    head = f"extraction: questions to {what} on {found.rows} rows that no attacker has"
    if not r2:
        head += f" (the same answer to each row: {found.constant:.0%})"
    rows = [
        [
            curve.attacker,
            curve.grade,
            curve.form,
            str(curve.reached) if curve.reached else f"more than {_last(curve.points)}",
            f"{curve.best:.2f}",
        ]
        for curve in found.curves
    ]
    return _table(head, ["attacker", "class", "answer", "questions", "best"], rows)


def _last(points: Sequence[tuple[int, float]]) -> int:
    return points[-1][0] if points else 0


def _evasion(report: Report) -> str:
    lines = []
    found = report.evasion
    if found is not None:
        median = (
            "not found for half of the rows"
            if found.median is None
            else (f"median {found.median:.2f} deviations over {found.columns} columns")
        )
        lines.append(
            f"evasion: distance to another answer: {median} ({len(found.distances)} of "
            f"{found.rows} rows, {found.questions} questions)"
        )
    if report.substituted is not None:
        lines.append(f"evasion: one other word moves {report.substituted:.0%} of the rows")
    return "\n".join(lines)


def _inversion(report: Report) -> str:
    found = report.inversion
    assert found is not None  # noqa: S101 - asked by the caller
    rows = [
        [column.name, str(column.values), f"{column.baseline:.2f}"]
        + [f"{right:.2f}" for _, right in column.by_form]
        for column in found.columns
    ]
    head = f"inversion: share of {found.rows} rows whose column is guessed from the others"
    return _table(head, ["column", "values", "no answer", *report.forms], rows)


def _share(value: float | None) -> str:
    return "too few rows" if value is None else f"{value:.1%}"


def _table(head: str, names: list[str], rows: list[list[str]]) -> str:
    cells = [names, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    lines = ["  ".join(["", *map(str.ljust, row, widths)]).rstrip() for row in cells]
    return "\n".join([head, *lines])
