"""The part of the store that is used here, the topic of changes, and the table of used proofs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa

from secureml.kit.proof_replay import columns

TOPIC = "oauth2_server"
PROOFS = sa.Table("oauth2_server_proofs", sa.MetaData(), *columns())
# Asked in the transaction that writes something: whether it may be written still.
Condition = Callable[[sa.Connection], bool]


def always(connection: sa.Connection) -> bool:
    """Be the condition of what depends on nothing."""
    return True


class Store(Protocol):
    """The application's store, as far as it is needed here."""

    def register(self, metadata: sa.MetaData) -> None:
        """Have these tables made."""

    def begin(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that may write."""

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that reads."""

    def touch(self, connection: sa.Connection, topic: str) -> None:
        """Count a change."""

    def version(self, topic: str) -> int:
        """Tell how often a topic has changed."""
