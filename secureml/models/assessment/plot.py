"""An assessment as a figure: a panel each for extraction, evasion, membership and inversion."""

from __future__ import annotations

import math
from collections.abc import Sequence

from secureml.models.assessment.extraction import REACHED, Curve, Extraction
from secureml.models.assessment.inversion import Inversion
from secureml.models.assessment.membership import Membership
from secureml.models.assessment.report import Report
from secureml.models.assessment.svg import FAINT, INK, Panel, figure, line

_WIDTH, _HEIGHT, _HEAD = 960, 720, 40
# Different also to readers who see fewer colours (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
_GREY = "#6e7781"
_TENTHS = [(tenth / 10, f"{tenth / 10:.1f}") for tenth in range(0, 11, 2)]
_MOST_COLUMNS = 8


def as_svg(report: Report) -> str:
    """Return the figure as the text of an SVG file."""
    panels = _panels()
    colours = dict(zip(report.forms, _COLOURS, strict=False))
    _draw_extraction(panels[0], report.extraction, colours)
    _draw_evasion(panels[1], report)
    _draw_membership(panels[2], report.membership, report.forms, colours)
    _draw_inversion(panels[3], report.inversion, report.forms, colours)
    for panel, part in zip(
        panels, ("extraction", "evasion", "membership", "inversion"), strict=True
    ):
        if part in report.missing:
            panel.words(f"Not measured: {report.missing[part]}.")
    title = f"What {report.name} version {report.version} gives away ({report.effort} assessment)"
    return figure(_WIDTH, _HEIGHT, title, panels)


def _panels() -> list[Panel]:
    width, height = _WIDTH / 2, (_HEIGHT - _HEAD) / 2
    titles = (
        "Extraction: how good is the best copy?",
        "Evasion: how far is another answer?",
        "Membership inference: was a row in the training table?",
        "Inversion: how often is a column guessed?",
    )
    return [
        Panel(width * (place % 2), _HEAD + height * (place // 2), width, height, title)
        for place, title in enumerate(titles)
    ]


def _draw_extraction(panel: Panel, found: Extraction | None, colours: dict[str, str]) -> None:
    if found is None:
        return
    counts = sorted({asked for curve in found.curves for asked, _ in curve.points})
    low, high = math.log(counts[0]), math.log(counts[-1])

    def across(asked: int) -> float:
        return 0.02 + 0.96 * (math.log(asked) - low) / max(high - low, 1e-9)

    ticks = [(across(c), str(c)) for c in counts if c not in (35, 200) or len(counts) < 6]
    what = "agreement" if found.measure == "agreement" else "R squared"
    panel.axes(ticks, _TENTHS, f"questions; {what} on rows that no attacker has")
    panel.level(REACHED, INK, dash="2 3")
    for form, colour in colours.items():
        for grade, dash in (("A", "5 4"), ("B", "")):
            points = _envelope([c for c in found.curves if (c.form, c.grade) == (form, grade)])
            panel.curve([(across(asked), max(up, 0)) for asked, up in points], colour, dash=dash)
    entries = [(form, colour, "") for form, colour in colours.items()]
    x, y = panel.at(0.72, 0.36)
    legend = Panel(x - 52, y - 34, 300, 200, "")
    legend.legend([*entries, ("no real rows", _GREY, "5 4"), ("20 real rows", _GREY, "")])
    panel.parts += legend.parts


def _envelope(curves: Sequence[Curve]) -> list[tuple[int, float]]:
    """Return the best of several attackers at each number of questions."""
    best: dict[int, float] = {}
    for curve in curves:
        for asked, found in curve.points:
            best[asked] = max(found, best.get(asked, -1.0))
    return sorted(best.items())


def _draw_evasion(panel: Panel, report: Report) -> None:
    found = report.evasion
    if found is None:
        return
    quarter = _round_up(max([*found.distances, *found.starts, 1e-9]) / 4)
    most = 4 * quarter
    ticks = [(part / 4, f"{quarter * part:g}") for part in range(5)]
    panel.axes(ticks, _TENTHS, f"distance in deviations, over {found.columns} columns")
    for distances, colour in ((found.starts, _GREY), (found.distances, _COLOURS[0])):
        steps, share = [(0.0, 0.0)], 0.0
        for number, distance in enumerate(sorted(distances), 1):
            steps += [(distance / most, share), (distance / most, number / found.rows)]
            share = number / found.rows
        panel.curve(steps, colour)
    panel.legend(
        [("rows moved to another answer", _COLOURS[0], ""), ("nearest real row", _GREY, "")]
    )


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def _draw_membership(
    panel: Panel, found: Membership | None, forms: Sequence[str], colours: dict[str, str]
) -> None:
    if found is None:
        return
    names = [*forms, "no answer"]
    ticks = [((place + 0.5) / len(names), name) for place, name in enumerate(names)]
    panel.axes(ticks, _TENTHS, "AUC of the best attack; 0.5 is guessing")
    panel.level(0.5, INK, dash="2 3")
    for place, form in enumerate(forms):
        best = found.best(form)
        middle, error = (place + 0.5) / len(names), 2 * found.error(best)
        panel.bar(middle, 0.5 / len(names), best.auc, colours.get(form, _GREY))
        ends = [panel.at(middle, best.auc - error), panel.at(middle, min(best.auc + error, 1))]
        panel.parts.append(line(ends, INK, width=1.5))
    panel.bar((len(forms) + 0.5) / len(names), 0.5 / len(names), found.blind, FAINT)


def _draw_inversion(
    panel: Panel, found: Inversion | None, forms: Sequence[str], colours: dict[str, str]
) -> None:
    if found is None:
        return
    finest = forms[-1]
    columns = sorted(found.columns, key=lambda c: -c.advantage(finest))[:_MOST_COLUMNS]
    slot = 1 / len(columns)
    longest = max(4, 56 // len(columns))
    ticks = [((place + 0.5) * slot, column.name[:longest]) for place, column in enumerate(columns)]
    panel.axes(ticks, _TENTHS, "share of rows guessed right; grey: without any answer")
    width = 0.8 * slot / (len(forms) + 1)
    for place, column in enumerate(columns):
        bars = [(column.baseline, FAINT)]
        bars += [(right, colours.get(form, _GREY)) for form, right in column.by_form]
        for number, (right, colour) in enumerate(bars):
            middle = (place + 0.5) * slot + (number - len(forms) / 2) * width
            panel.bar(middle, 0.9 * width, right, colour)
