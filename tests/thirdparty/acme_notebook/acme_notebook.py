"""Notebook: remembers a note for each client.

Has commands only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from secureml import Host, Plugin

metadata = sa.MetaData()
notes = sa.Table(
    "notebook_notes",
    metadata,
    sa.Column("client", sa.String(64), primary_key=True),
    sa.Column("text", sa.String(200), nullable=False),
)


class Notebook(Plugin):
    """Keeps notes in the store."""

    name = "notebook"

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        host.store.register(metadata)
        self._store = host.store

    def note(self, client: str, text: str) -> None:
        """Write a note; other workers see it as soon as `store.version("notebook")` has moved."""
        with self._store.begin() as connection:
            connection.execute(notes.delete().where(notes.c.client == client))
            connection.execute(notes.insert().values(client=client, text=text))
            self._store.touch(connection, "notebook")
