"""Rows with true answers, of the training table and of a table that the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secureml.models.assessment.answer_form import AnswerForm
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.membership import Known, Membership, infer
from secureml.models.assessment.oracle import Oracle

MOST = 2000  # rows of each table
FEWEST = 30


@dataclass(frozen=True)
class LabelledRows:
    """Rows with true answers as the model would give them: members, and others.

    ``notes`` are what was left out, each a sentence.
    """

    members: Sequence[Sequence[Any]]
    member_answers: Sequence[Any]
    others: Sequence[Sequence[Any]]
    other_answers: Sequence[Any]
    notes: tuple[str, ...] = ()


def measure_membership(
    oracle: Oracle,
    space: ColumnSpace,
    labelled: LabelledRows,
    forms: Sequence[AnswerForm],
    generator: np.random.Generator,
) -> Membership:
    """Ask for at most `MOST` rows of each table, and run every attack.

    Raises ValueError where there are too few.
    """
    sides = []
    for rows, answers in (
        (labelled.members, labelled.member_answers),
        (labelled.others, labelled.other_answers),
    ):
        if len(rows) < FEWEST:
            raise ValueError(f"one of the tables has {len(rows)} usable rows, {FEWEST} are needed")
        chosen = generator.permutation(len(rows))[:MOST]
        matrix = space.matrix([rows[place] for place in chosen])
        truth = _truth(oracle, [answers[place] for place in chosen])
        sides.append(Known(space.encode(matrix), truth, oracle.ask(matrix)))
    return infer(sides[0], sides[1], forms, generator)


def _truth(oracle: Oracle, answers: Sequence[Any]) -> np.ndarray[Any, Any]:
    if not oracle.labelled:
        return np.array(answers, dtype=float)
    return np.array([oracle.code(answer) for answer in answers])
