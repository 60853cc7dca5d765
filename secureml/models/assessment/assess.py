"""All attacks on one sealed model: in seconds while it is sealed, in minutes by command.

The model is asked through the path that a request takes. Chance is given: the same seed asks the
same questions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from secureml.models.assessment import evasion, extraction, inversion
from secureml.models.assessment.answer_form import FULL, LABELS, AnswerForm, rounded, top
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.labelled_rows import LabelledRows, measure_membership
from secureml.models.assessment.membership import Membership
from secureml.models.assessment.oracle import AMOUNTS, LABELLED, Oracle
from secureml.models.assessment.query_strategies import BETWEEN, RANGES, REAL, UNCERTAIN, Attacker
from secureml.models.assessment.report import Report
from secureml.models.rows.refused import RowsRefused
from secureml.models.serving.handle import ModelHandle
from secureml.models.serving.result import ModelFailed

Array = np.ndarray[Any, Any]
Progress = Callable[[str], None]
FEWEST = 40  # rows: of fewer, half for attackers and half for the judge say nothing
_MOST_ROWS = 20_000


@dataclass(frozen=True)
class Effort:
    """How much is asked.

    ``points`` are numbers of questions at which copies are judged, ``seeds`` how often each
    attacker begins anew, ``trees`` those of a copy; ``held_out`` the most rows of the judge,
    ``targets`` the rows that are moved, ``columns`` the most that are guessed, ``guesses`` the
    most rows of each.
    """

    name: str
    points: tuple[int, ...]
    attackers: tuple[Attacker, ...]
    seeds: int
    trees: int
    stop: bool
    held_out: int
    targets: int
    evasion: evasion.Effort
    columns: int
    guesses: int


SHORT = Effort(
    name="short",
    points=(20, 50, 100, 200, 400),
    attackers=(RANGES, BETWEEN),
    seeds=1,
    trees=20,
    stop=True,
    held_out=300,
    targets=20,
    evasion=evasion.Effort(rounds=5, directions=20),
    columns=4,
    guesses=100,
)
LONG = Effort(
    name="long",
    points=(20, 35, 50, 100, 200, 500, 1000, 2000),
    attackers=(RANGES, BETWEEN, UNCERTAIN, REAL),
    seeds=3,
    trees=30,
    stop=False,
    held_out=1000,
    targets=50,
    evasion=evasion.Effort(rounds=12, directions=50),
    columns=20,
    guesses=500,
)


class NotAssessed(Exception):
    """The model cannot be assessed; the message says why."""


def assess(
    handle: ModelHandle,
    rows: Sequence[Sequence[Any]],
    effort: Effort,
    generator: np.random.Generator,
    *,
    decimals: int = 2,
    labelled: LabelledRows | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Return what a model gives away; ``rows`` are of its training table, values as JSON has them.

    ``decimals`` are those of the rounded form. ``labelled`` has rows with true answers, of the
    training table and others: with it membership is measured, and copies are judged and rows moved
    on others. Raises NotAssessed where nothing can be measured.
    """
    if handle.card.outputs or handle.card.kind not in LABELLED | AMOUNTS:
        raise NotAssessed(f"attacks on a {_kind(handle)} are not implemented")
    if len(rows) < FEWEST:
        raise NotAssessed(f"the table has {len(rows)} rows, and {FEWEST} are needed")
    chosen = generator.permutation(len(rows))[:_MOST_ROWS]
    space = ColumnSpace(handle.card.features, [rows[place] for place in chosen])
    assessment = _Assessment(handle, space, effort, generator, decimals, progress)
    with warnings.catch_warnings():
        # Of copies that have not converged, and of a model that is asked odd rows on purpose.
        warnings.simplefilter("ignore")
        return assessment.run(space.matrix([rows[place] for place in chosen]), labelled)


def forms_of(handle: ModelHandle, decimals: int, *, every: bool) -> tuple[AnswerForm, ...]:
    """Return the forms of the answer that differ for a model, the coarsest first."""
    card = handle.card
    if card.kind in AMOUNTS:
        return (rounded(decimals), FULL)
    if not card.has_probabilities:
        return (LABELS,)
    coarse = (rounded(1), rounded(decimals)) if every and decimals > 1 else (rounded(decimals),)
    if every and len(card.classes or ()) > 2:
        coarse = (top(1, decimals), *coarse)
    return (LABELS, *coarse, FULL)


def _kind(handle: ModelHandle) -> str:
    return "model of several outputs" if handle.card.outputs else handle.card.kind


class _Assessment:
    """One run over one model."""

    def __init__(
        self,
        handle: ModelHandle,
        space: ColumnSpace,
        effort: Effort,
        generator: np.random.Generator,
        decimals: int,
        progress: Progress,
    ) -> None:
        self._handle, self._space, self._effort = handle, space, effort
        self._generator, self._progress = generator, progress
        self._forms = forms_of(handle, decimals, every=effort is LONG)
        self._oracle = Oracle(handle, space)
        self._missing: dict[str, str] = {}

    def run(self, table: Array, labelled: LabelledRows | None) -> Report:
        """Return the report; ``table`` are rows in random order."""
        effort, card = self._effort, self._handle.card
        held_out, real = self._parts(table, labelled)
        report = Report(
            card.name, card.version, card.kind, effort.name,
            tuple(form.name for form in self._forms), 0,
        )  # fmt: skip
        report = replace(
            report,
            membership=self._part("membership", lambda: self._membership(labelled)),
            extraction=self._part("extraction", lambda: self._extract(real, held_out)),
            evasion=self._part("evasion", lambda: self._evade(held_out, real)),
            substituted=self._part("substitution", lambda: self._substitute(held_out)),
            inversion=self._part("inversion", lambda: self._invert(table)),
        )
        missing = {part: why for part, why in self._missing.items() if part != "substitution"}
        notes = () if labelled is None else labelled.notes
        return replace(report, questions=self._oracle.asked, missing=missing, notes=notes)

    def _parts(self, table: Array, labelled: LabelledRows | None) -> tuple[Array, Array]:
        """Return rows of the judge, and rows that attackers may have."""
        most = self._effort.held_out
        if labelled is not None and len(labelled.others) >= FEWEST // 2:
            others = self._space.matrix(labelled.others)
            return others[self._generator.permutation(len(others))][:most], table
        most = min(most, len(table) // 2)
        return table[:most], table[most:]

    def _part(self, name: str, measure: Callable[[], Any]) -> Any:
        self._progress(name)
        try:
            return measure()
        except ValueError as why:
            self._missing[name] = str(why)
        except ModelFailed as failed:
            self._missing[name] = f"the model does not answer rows of the attack ({failed})"
        except RowsRefused as refused:
            self._missing[name] = f"rows of the attack are refused ({refused})"
        return None

    def _membership(self, labelled: LabelledRows | None) -> Membership:
        if labelled is None:
            raise ValueError("it needs rows that the model has not seen: give them with --holdout")
        return measure_membership(self._oracle, self._space, labelled, self._forms, self._generator)

    def _extract(self, real: Array, held_out: Array) -> extraction.Extraction:
        effort = self._effort
        attackers = effort.attackers
        if not self._oracle.labelled:
            attackers = tuple(each for each in attackers if each is not UNCERTAIN)
        plan = extraction.Plan(
            effort.points, self._forms, attackers, effort.seeds, effort.trees, effort.stop
        )
        return extraction.extract(
            self._oracle, self._space, real, held_out, plan, self._generator, self._progress
        )

    def _evade(self, held_out: Array, real: Array) -> evasion.Evasion:
        if not self._oracle.labelled:
            raise ValueError("an amount has no boundary")
        targets = held_out[: self._effort.targets]
        return evasion.evade(
            self._oracle, self._space, targets, real[:1000], self._effort.evasion, self._generator
        )

    def _substitute(self, held_out: Array) -> float | None:
        if not self._oracle.labelled:
            return None
        return evasion.substitute(self._oracle, self._space, held_out[: self._effort.targets])

    def _invert(self, table: Array) -> inversion.Inversion:
        columns = inversion.guessable(self._space, table)[: self._effort.columns]
        if not columns:
            raise ValueError(f"no column has 2 to {inversion.MOST_VALUES} different values")
        rows = table[: 4 * self._effort.guesses]
        return inversion.invert(
            self._oracle, self._space, rows, columns, self._forms, self._effort.guesses,
            self._generator,
        )  # fmt: skip
