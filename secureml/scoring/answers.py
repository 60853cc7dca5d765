"""The columns that a model's answers are written to, and the answers as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from secureml.models.card import Card
from secureml.models.serving.result import Result
from secureml.scoring.refused import NotScored
from secureml.scoring.rules import LimitAnswers

_TYPES: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string"}


class AnswerColumn(NamedTuple):
    """One column of answers; ``kind`` is bool, int64, float64 or string."""

    name: str
    kind: str


def columns_of(card: Card, *, probabilities: bool) -> tuple[AnswerColumn, ...]:
    """Return the columns of answers, by the card."""
    first = card.golden.predictions[0]
    if card.outputs and isinstance(first, tuple):
        kinds = [_kind([row[place] for row in card.golden.predictions if isinstance(row, tuple)])
                 for place in range(card.outputs)]  # fmt: skip
        found = [AnswerColumn(f"prediction_{place}", kind) for place, kind in enumerate(kinds)]
    else:
        found = [AnswerColumn("prediction", _kind(card.classes or card.golden.predictions))]
    if probabilities:
        labels = card.classes or range(len((card.golden.probabilities or [()])[0]))
        found += [AnswerColumn(f"probability_{text_of(label)}", "float64") for label in labels]
    return tuple(found)


def _kind(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return "float64"
    return _TYPES.get(kinds.pop(), "string") if len(kinds) == 1 else "string"


def check_probabilities(card: Card, limits: Sequence[tuple[str, LimitAnswers]]) -> None:
    """Raise NotScored where there are no probabilities, or a plugin keeps them back."""
    if not card.has_probabilities or card.golden.probabilities is None:
        raise NotScored(
            f"the model {card.name} version {card.version} has no probabilities",
            "leave out --probabilities",
        )
    golden = [list(row) for row in card.golden.probabilities]
    for plugin, limit in limits:
        if limit(card, list(card.golden.predictions), golden)[1] is None:
            raise NotScored(
                f"[plugins.{plugin}] keeps probabilities from callers that it says nothing else of",
                "leave out --probabilities, or change what all callers may see there",
            )


def limited(result: Result, card: Card, limits: Sequence[LimitAnswers]) -> tuple[list[Any], Any]:
    """Return predictions and probabilities as coarse as the settings say."""
    predictions, probabilities = result.predictions, result.probabilities
    for limit in limits:
        predictions, probabilities = limit(card, predictions, probabilities)
    return predictions, probabilities


def as_columns(predictions: list[Any], probabilities: Any, *, outputs: int) -> list[list[Any]]:
    """Return answers column by column, in the order of `columns_of`."""
    found = (
        [[row[place] for row in predictions] for place in range(outputs)]
        if outputs
        else [predictions]
    )
    if probabilities is not None:
        found += [list(column) for column in zip(*probabilities, strict=True)]
    return found


def text_of(value: Any) -> Any:
    """Return a value as CSV has it: truth values as in JSON, numbers to the bit, "" for nothing."""
    if value is True or value is False:
        return "true" if value else "false"
    return value
