"""Another table than the one a model was fitted on, with the true answers of its rows.

Its rows are read as those of a request are, by the card, and the model is asked about them: what
is measured on it is measured on what will be served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card, Feature
from secureml.models.card_section import Labelled
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from secureml.models.sealing.answers import Answers, ask, first_unfit
from secureml.models.sealing.table_file import Table, TableFile, read_table
from secureml.models.sealing.training_table import texts_of, values_of
from secureml.models.sealing.true_answers import answer_reader


@dataclass(frozen=True)
class LabelledReader:
    """Reads tables with answers for one model; ``target`` is the column that holds them.

    Without ``target`` it is the one column that is not a feature.
    """

    card: Card
    estimator: Any
    target: str | None = None

    def __call__(self, path: Path) -> Labelled:
        """Return the rows of a table with their answers; raises ModelRefused with its name."""
        file = TableFile.load(path)
        table = read_table(file)
        try:
            return self._read(table, hashlib.sha256(file.content).hexdigest())
        except ModelRefused as refused:
            raise ModelRefused(refused.check, f"{path}: {refused.message}", refused.fix) from None

    def _read(self, table: Table, digest: str) -> Labelled:
        target = _answer_column(table, self.card.features, self.target)
        columns = [
            values_of(feature, table.columns[feature.name]) for feature in self.card.features
        ]
        answers = _answers(self.card, target, texts_of(table.columns[target]))
        rows = list(zip(*columns, strict=True))
        given = self._given(rows)
        found = self._ask(given)
        unfit = first_unfit(found)
        if unfit is not None:
            raise _refuse(
                f"the answer to row {unfit + 1} is not finite", "take the row out of the table"
            )
        return Labelled(rows, given, answers, found.predictions, found.probabilities, digest)

    def _ask(self, given: Any) -> Answers:
        try:
            return ask(self.card, self.estimator, given)
        except MemoryError:
            raise
        except Exception as error:  # whatever the model raises is told as its answer
            raise _refuse(
                f"the model raises {type(error).__name__} on its rows ({error})",
                "give rows of the kind that the model was fitted on",
            ) from error

    def _given(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        try:
            return RowReader(self.card).read([list(row) for row in rows])
        except RowsRefused as refused:
            path, rule = refused.faults[0]
            _, _, number, *column = path.split("/")
            place = self.card.features[int(column[0])].name if column else ""
            raise _refuse(
                f"row {int(number) + 1} would be refused in a request ({place}: {rule})",
                "take out rows that the model cannot be asked about",
            ) from None


def _answer_column(table: Table, features: Sequence[Feature], target: str | None) -> str:
    names = {feature.name for feature in features}
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise _refuse(
            f"the table lacks {min(absent)!r}",
            "give a table with the columns that the model is sealed with, and the true answers",
        )
    others = [name for name in table.columns if name not in names]
    if target is None and len(others) == 1:
        return others[0]
    if target is None or target not in others:
        missing = "none is named" if target is None else f"there is no {target!r}"
        raise _refuse(
            f"it must have a column of true answers, and {missing}",
            "name the column of the answers with --target",
        )
    return target


def _answers(card: Card, target: str, cells: Sequence[str]) -> list[Any]:
    read = answer_reader(card)
    found = [read(cell) for cell in cells]
    if None in found:
        number = found.index(None)
        kind = "one of the model's classes" if card.classes else "a number"
        raise _refuse(
            f"{target!r} is {cells[number][:40]!r} in row {number + 1}, which is not {kind}",
            "give the true answer of every row as the model would give it",
        )
    return found


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
