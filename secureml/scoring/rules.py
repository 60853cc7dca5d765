"""What plugins add to a run: rules that rows must keep, and how much of an answer is written.

The same objects check the rows of a request and those of a file, so there is one reading of each
rule. They travel to worker processes, so they are made there, by a function that can be named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from secureml.models.card import Card


class Report(Protocol):
    """What rules say of rows: by action, (path, code) of the first faults, and their number.

    ``rows`` are those that the model is asked: other values than before where something is clipped.
    """

    rows: Any
    faults: dict[str, list[tuple[str, str]]]
    counts: dict[str, int]


class RowRules(Protocol):
    """Rules of one card, each of which looks at one row."""

    def validate(self, rows: Any, instances: Sequence[Any]) -> Report:
        """Return what is to be said of rows that were read from these instances."""


MakeRules = Callable[[Card], RowRules]
Shares = list[list[Any]] | None
LimitAnswers = Callable[[Card, list[Any], Shares], tuple[list[Any], Shares]]


class PluginRules(NamedTuple):
    """What one enabled plugin adds; ``settings`` is its table, which a resumed run must share."""

    plugin: str
    settings: Mapping[str, Any]
    rows: MakeRules | None
    answers: LimitAnswers | None
