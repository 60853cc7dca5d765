"""The shapes of what the core hands to plugins, for code that knows neither the core nor Flask.

A pure module of a plugin names these in its signatures: the real objects fit them, and so does
anything a test makes up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa


class Store(Protocol):
    """Tables, transactions, and one counter a topic that moves with each change.

    ``versions`` returns the very same mapping until some counter has moved.
    """

    def register(self, metadata: sa.MetaData) -> None:
        """Declare tables; made at the first use of the store."""

    def begin(self, *, durable: bool = True) -> AbstractContextManager[sa.Connection]:
        """Return a write transaction; it waits for the disk unless it need not be durable."""

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Return a read transaction."""

    def touch(self, connection: sa.Connection, topic: str) -> None:
        """Say, inside a transaction, that something of this topic changed."""

    def version(self, topic: str) -> int:
        """Return the counter of one topic as the current request sees it."""

    def versions(self) -> Mapping[str, int]:
        """Return the counters of all topics as the current request sees them."""


class VerifyingKey(Protocol):
    """The public half of a signing key: trusted for one algorithm, until ``ends`` (epoch)."""

    algorithm: str
    key: Any
    ends: float


class SigningKey(Protocol):
    """The private half of a signing key."""

    kid: str
    algorithm: str
    private: Any


class SigningKeys(Protocol):
    """Our own signing keys: one signs, all that are not retired verify."""

    def active(self) -> Any:
        """Return the key that signs now."""

    def ready(self) -> str | None:
        """Return a word while there is none that could."""

    def public(self, kid: str) -> Any:
        """Return the key of that name, None unless it verifies."""

    def jwks(self) -> dict[str, Any]:
        """Return the public halves as a JSON Web Key Set."""


class Clients(Protocol):
    """The clients of the application."""

    def get(self, name: str) -> Any:
        """Return the client of that name, None where there is none."""


class Feature(Protocol):
    """One column of a model, as `secureml.kit.cards.Feature` has it."""

    @property
    def name(self) -> str:
        """What callers name it by."""

    @property
    def dtype(self) -> str:
        """Float, integer, boolean, category, text or date."""

    @property
    def minimum(self) -> float | None:
        """The least value seen in training."""

    @property
    def maximum(self) -> float | None:
        """The largest value seen in training."""

    @property
    def categories(self) -> Sequence[Any] | None:
        """The words of a category, or its whole numbers; None for other columns."""

    @property
    def missing(self) -> str:
        """Whether null is read: allow or refuse."""

    @property
    def unknown(self) -> str:
        """Whether other categories are read: allow or refuse."""

    @property
    def is_number(self) -> bool:
        """Whether the model sees numbers in it."""


class Section(Protocol):
    """What one plugin keeps on a card."""

    @property
    def public(self) -> Mapping[str, Any]:
        """What clients are shown."""

    @property
    def private(self) -> Mapping[str, Any]:
        """What they are not."""


class Card(Protocol):
    """The signed card of a model, as `secureml.Card` has it."""

    @property
    def name(self) -> str:
        """What callers name the model by."""

    @property
    def version(self) -> str:
        """Which of its versions this is."""

    @property
    def golden(self) -> Any:
        """Rows with the answers the model gave when it was sealed, a `Golden`."""

    @property
    def outputs(self) -> int:
        """How many values a row is answered with as a list; 0 is one, and no list."""

    @property
    def features(self) -> Sequence[Any]:
        """Its columns, each a `Feature`."""

    @property
    def classes(self) -> Sequence[Any] | None:
        """The labels of a classifier."""

    @property
    def has_probabilities(self) -> bool:
        """Whether it answers with probabilities, too."""

    @property
    def keeps_integers(self) -> bool:
        """Whether whole numbers reach the model as such."""

    @property
    def sections(self) -> Mapping[str, Any]:
        """What plugins keep on it, each a `Section`, by their names."""


class Training(Protocol):
    """What sealing knows of a model and its table, as `secureml.kit.cards.Training` has it."""

    @property
    def card(self) -> Any:
        """The `Card` without sections."""

    @property
    def estimator(self) -> Any:
        """The fitted estimator."""

    @property
    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Each feature's values, None where missing; empty without a table."""

    @property
    def read_labelled(self) -> Callable[[Path], Any]:
        """Reads another table with true answers, and asks the model about it: a `Labelled`."""

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the table row by row."""

    def read(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Return rows as the estimator takes them, None where a request with them is refused."""
