"""A plugin's own section of every card: learned at sealing, checked at each load.

What is learned of a model is a plugin's opinion: which rules rows must keep, what usual rows look
like. The core signs a section with the rest of the card and hands it over without reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card, Section
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused

if TYPE_CHECKING:
    import click

_FIX = "seal the model again; a card is never edited"


@dataclass(frozen=True)
class Labelled:
    """Another table, with true answers, and what the model answers to its rows.

    ``rows`` are values in the order of the card's features, None where missing; ``given`` are the
    same as the estimator takes them. ``answers`` are the true ones, classes or numbers;
    ``predictions`` has the shape (rows,) or (rows, outputs), ``probabilities`` (rows, classes).
    """

    rows: Sequence[tuple[Any, ...]]
    given: Any
    answers: Sequence[Any]
    predictions: Any
    probabilities: Any | None
    digest: str  # SHA-256 of the file, in hex


def _no_labelled(path: Path) -> Labelled:
    raise ModelRefused("card", f"{path}: a table cannot be read here", "seal with the command")


@dataclass(frozen=True)
class Training:
    """What sealing knows of a model and of the table it was fitted on.

    ``card`` has everything but sections; ``columns`` holds each feature's values in the order of
    the table, None where missing, and is empty where there is no table. ``read_labelled`` reads
    another table, with true answers, and asks the model about it; raises ModelRefused.
    """

    card: Card
    estimator: Any
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    read_labelled: Callable[[Path], Labelled] = _no_labelled

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the table row by row, values in the order of the card's features."""
        return list(zip(*self.columns.values(), strict=True))

    def read(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Return rows of values as the estimator takes them: an array or a frame, (rows, columns).

        None where a request with these rows would be refused.
        """
        try:
            return RowReader(self.card).read([list(row) for row in rows])
        except RowsRefused:
            return None


class CardSection:
    """What one plugin adds to cards. A section is JSON: objects, lists, texts, numbers, null.

    ``options`` are added to ``secureml models seal``; their values, by the name of the parameter,
    are given to `learn` and `is_same`.
    """

    options: ClassVar[Sequence[click.Option]] = ()

    def learn(self, training: Training, options: Mapping[str, Any]) -> Section | None:
        """Return the section of a model that is being sealed, None for none.

        Raises ModelRefused where the model must not be sealed so.
        """
        return None

    def notes(self, training: Training, section: Section | None) -> Sequence[str]:
        """Return what an operator should know when the model is sealed, each a line."""
        return ()

    def is_same(self, section: Section | None, options: Mapping[str, Any]) -> bool:
        """Tell whether sealing with these options would give the section that is there."""
        return True

    def check(self, section: Section, card: Card) -> None:
        """Raise ModelRefused or ValueError unless a section read from a card can be worked with.

        Called before the model is loaded, at each start of a server in which the plugin is enabled.
        """


Sections = Mapping[str, CardSection]
Options = Mapping[str, Mapping[str, Any]]


def learn_sections(
    training: Training, sections: Sections, options: Options
) -> tuple[dict[str, Section], list[str]]:
    """Return what each plugin learns, by its name, and its notes."""
    learned: dict[str, Section] = {}
    notes: list[str] = []
    for name, section in sections.items():
        found = section.learn(training, options.get(name, {}))
        if found is not None:
            learned[name] = found
        notes += section.notes(training, found)
    return learned, notes


def check_sections(card: Card, sections: Sections) -> None:
    """Have each plugin check its section of a card; raises ModelRefused("card")."""
    for name, section in sections.items():
        found = card.sections.get(name)
        if found is None:
            continue
        try:
            section.check(found, card)
        except ModelRefused:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelRefused(
                "card", f"the section of {name} cannot be read ({error})", _FIX
            ) from None
