"""The training table and a table of rows that the model has not seen, read by a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.assessment.labelled_rows import LabelledRows
from secureml.models.assessment.oracle import AMOUNTS
from secureml.models.card import Card
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from secureml.models.sealing.table_file import Table, TableFile, read_table
from secureml.models.sealing.training_table import texts_of, values_of
from secureml.models.sealing.true_answers import answer_reader


@dataclass(frozen=True)
class TableRows:
    """Rows that the model accepts, values as JSON has them, with their true answers.

    ``answers`` is None where the table has no column of them, and an answer is None where it is
    none that the model can give. ``refused`` is the number of rows that were left out.
    """

    rows: tuple[tuple[Any, ...], ...]
    answers: tuple[Any, ...] | None
    refused: int = 0


def read_rows(file: TableFile, card: Card, target: str | None) -> TableRows:
    """Read a table with the columns of a card, and one of answers if it has one.

    Raises ModelRefused("card").
    """
    table = read_table(file)
    absent = [feature.name for feature in card.features if feature.name not in table.columns]
    if absent:
        raise _refuse(
            f"{file.name} has no column {absent[0]!r}", "give a table with the model's columns"
        )
    column = _answer_column(file.name, table, card, target)
    values = [values_of(feature, table.columns[feature.name]) for feature in card.features]
    rows = list(zip(*values, strict=True))
    kept = _accepted(card, rows)
    answers = None
    if column is not None:
        texts = texts_of(table.columns[column])
        answers = _answers(card, [texts[place] for place in kept])
    return TableRows(tuple(rows[place] for place in kept), answers, len(rows) - len(kept))


def pair(training: TableRows, holdout: TableRows) -> LabelledRows:
    """Return members and other rows; raises ModelRefused where true answers are missing."""
    members, member_answers, odd = _labelled(training, "the training table")
    found, found_answers, odd_too = _labelled(holdout, "the holdout")
    known = set(members)
    new = [place for place, row in enumerate(found) if row not in known]
    notes = []
    if len(new) < len(found):
        notes.append(f"{len(found) - len(new)} rows of the holdout are in the training table, too")
    if odd + odd_too:
        notes.append(f"{odd + odd_too} rows have an answer that the model never gives")
    if training.refused + holdout.refused:
        notes.append(f"{training.refused + holdout.refused} rows are not as the card says")
    return LabelledRows(
        members,
        member_answers,
        [found[place] for place in new],
        [found_answers[place] for place in new],
        tuple(f"{note}: left out" for note in notes),
    )


def _labelled(table: TableRows, what: str) -> tuple[list[Any], list[Any], int]:
    if table.answers is None:
        raise _refuse(
            f"{what} has no column of true answers, and membership inference needs them",
            "give a table with the answers, and name their column with --target",
        )
    kept = [place for place, answer in enumerate(table.answers) if answer is not None]
    rows = [table.rows[place] for place in kept]
    return rows, [table.answers[place] for place in kept], len(table.rows) - len(kept)


def _answer_column(name: str, table: Table, card: Card, target: str | None) -> str | None:
    if target is not None and target not in table.columns:
        raise _refuse(f"{name} has no column {target!r}", "name the answers' column with --target")
    if target is not None:
        return target
    features = {feature.name for feature in card.features}
    others = [column for column in table.columns if column not in features]
    if len(others) > 1:
        raise _refuse(
            f"{name} has {len(others)} columns that are no features of the model, such as "
            f"{others[0]!r} and {others[1]!r}",
            "name the one with the answers with --target",
        )
    return others[0] if others else None


def _accepted(card: Card, rows: Sequence[Sequence[Any]]) -> list[int]:
    """Return the places of rows that a request may have."""
    read = RowReader(card).read
    try:
        read([list(row) for row in rows])
    except RowsRefused:
        return [place for place, row in enumerate(rows) if _is_accepted(read, row)]
    return list(range(len(rows)))


def _is_accepted(read: Any, row: Sequence[Any]) -> bool:
    try:
        read([list(row)])
    except RowsRefused:
        return False
    return True


def _answers(card: Card, cells: Sequence[str]) -> tuple[Any, ...]:
    if card.kind not in AMOUNTS and not card.classes:
        return (None,) * len(
            cells
        )  # such as an outlier detector's, of which no card says the labels
    return tuple(map(answer_reader(card), cells))


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
