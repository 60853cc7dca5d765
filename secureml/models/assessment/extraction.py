"""Model extraction: how many questions until a copy agrees with the model.

Attackers ask, copies are fitted to what they may see, and agreement is measured on real rows that
no attacker has. The questions of an attacker are asked once: each form of the answer is a part
of the full one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.assessment.answer_form import AnswerForm, Answers
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.copies import Copy, of_amounts, of_labels, of_shares, quality
from secureml.models.assessment.oracle import Oracle
from secureml.models.assessment.query_strategies import Attacker, Knowledge

Array = np.ndarray[Any, Any]
REACHED = 0.9


@dataclass(frozen=True)
class Curve:
    """How good the copy of an attacker is, by the number of questions; medians over the seeds."""

    attacker: str
    grade: str
    form: str
    points: tuple[tuple[int, float], ...]

    @property
    def reached(self) -> int | None:
        """The number of questions after which the copy was as good as `REACHED`; None: never."""
        return next((asked for asked, found in self.points if found >= REACHED), None)

    @property
    def best(self) -> float:
        """How good the best copy was."""
        return max((found for _, found in self.points), default=0.0)


@dataclass(frozen=True)
class Extraction:
    """What extraction came to: ``measure`` is ``agreement`` or ``r2``.

    ``constant`` is the agreement of a copy that gives the most common answer to every row.
    """

    measure: str
    constant: float
    rows: int
    curves: tuple[Curve, ...]

    def questions(self, form: str, grades: str = "AB") -> int | None:
        """Return the least number of questions that reached it with this form of the answer."""
        found = [c.reached for c in self.curves if c.form == form and c.grade in grades]
        return min((each for each in found if each is not None), default=None)

    def best(self, form: str, grades: str = "AB") -> float:
        """Return how good the best copy was with this form of the answer."""
        return max((c.best for c in self.curves if c.form == form and c.grade in grades), default=0)

    def most(self) -> int:
        """Return the largest number of questions of a curve."""
        return max((asked for curve in self.curves for asked, _ in curve.points), default=0)


@dataclass(frozen=True)
class Plan:
    """What is measured: numbers of questions, forms, attackers, repetitions.

    ``stop`` ends a curve that has reached `REACHED`.
    """

    points: tuple[int, ...]
    forms: tuple[AnswerForm, ...]
    attackers: tuple[Attacker, ...]
    seeds: int
    trees: int
    stop: bool


def extract(
    oracle: Oracle,
    space: ColumnSpace,
    real: Array,
    held_out: Array,
    plan: Plan,
    generator: np.random.Generator,
    progress: Callable[[str], None] = lambda _: None,
) -> Extraction:
    """Let each attacker ask; ``real`` are rows they may have, ``held_out`` those of the judge."""
    truth = oracle.ask(held_out)
    encoded = space.encode(held_out)
    curves: list[Curve] = []
    for attacker in plan.attackers:
        runs = []
        for turn in range(1, plan.seeds + 1):
            progress(f"extraction: {attacker.name}, {turn} of {plan.seeds}")
            own = real[generator.permutation(len(real))][: attacker.holds]
            runs.append(_run(oracle, space, own, attacker, plan, (encoded, truth), generator))
        for form in plan.forms:
            points = _medians([run[form.name] for run in runs])
            curves.append(Curve(attacker.name, attacker.grade, form.name, points))
    measure = "agreement" if truth.amounts is None else "r2"
    return Extraction(measure, _constant(truth), len(held_out), tuple(curves))


def _run(
    oracle: Oracle,
    space: ColumnSpace,
    own: Array,
    attacker: Attacker,
    plan: Plan,
    judge: tuple[Array, Answers],
    generator: np.random.Generator,
) -> dict[str, list[tuple[int, float]]]:
    rows, seen = np.empty((0, space.width)), None
    found: dict[str, list[tuple[int, float]]] = {form.name: [] for form in plan.forms}
    for point in plan.points:
        known = Knowledge(space, own, rows, seen)
        new = attacker.strategy(known, point - len(rows), generator)
        if not len(new):
            break
        answers = oracle.ask(new)
        rows = np.vstack([rows, new])
        seen = answers if seen is None else seen.joined(answers)
        open_forms = [
            form
            for form in plan.forms
            if not (plan.stop and found[form.name] and found[form.name][-1][1] >= REACHED)
        ]
        qualities = _qualities(space.encode(rows), seen, open_forms, plan.trees, judge)
        for form, value in zip(open_forms, qualities, strict=True):
            found[form.name].append((len(rows), value))
    return found


def _qualities(
    encoded: Array,
    seen: Answers,
    forms: Sequence[AnswerForm],
    trees: int,
    judge: tuple[Array, Answers],
) -> list[float]:
    """Return how good the best copy is, for each form of the answer."""
    if not forms:
        return []
    if seen.labels is None:
        amounts = [np.asarray(form.visible(seen).amounts) for form in forms]
        return [_best(of_amounts(encoded, each, trees), judge) for each in amounts]
    # Labels are visible in every form.
    common = _best(of_labels(encoded, seen.labels, trees), judge)
    found = []
    for form in forms:
        shares = form.visible(seen).shares
        fitted = () if shares is None else of_shares(encoded, shares, form.decimals, trees)
        found.append(max(common, _best(fitted, judge)))
    return found


def _best(fitted: Iterable[Copy], judge: tuple[Array, Answers]) -> float:
    return max((quality(copy, *judge) for copy in fitted), default=-1.0)


def _medians(runs: Sequence[list[tuple[int, float]]]) -> tuple[tuple[int, float], ...]:
    by_count: dict[int, list[float]] = {}
    for run in runs:
        for asked, found in run:
            by_count.setdefault(asked, []).append(found)
    return tuple((asked, float(np.median(found))) for asked, found in sorted(by_count.items()))


def _constant(truth: Answers) -> float:
    if truth.labels is None:
        return 0.0  # R squared of the mean
    return float(np.unique(truth.labels, return_counts=True)[1].max() / len(truth.labels))
