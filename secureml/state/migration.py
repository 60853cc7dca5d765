"""Brings the tables of a store to the newest revision, and tells where they are not as declared.

All sets in one transaction and under the lock that workers take to make tables: two hosts that
upgrade at once do it once, and what fails on the way has changed nothing. Alembic runs the
revisions and compares; it is imported here, and nothing that serves imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event

from secureml.config_error import ConfigError
from secureml.state import schema
from secureml.state.engines import engine_for
from secureml.state.postgresql import wait_longer


@dataclass(frozen=True, slots=True)
class Step:
    """A revision that was applied, or with an empty one a set of tables that was made."""

    tables: tuple[str, ...]
    revision: str
    title: str


class Migration:
    """The tables of one database, and what the code declares of them."""

    def __init__(self, url: sa.URL, sets: Sequence[sa.MetaData]) -> None:
        self._sets = sets
        self._engine = engine_for(url, must_exist=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _ignore_references)

    def close(self) -> None:
        """Release what is open."""
        self._engine.dispose()

    def states(self) -> list[schema.SetState]:
        """Return what the database has of each set."""
        with self._engine.connect() as connection:
            return schema.read_states(connection.execution_options(reads=True), self._sets)

    def differences(self) -> list[str]:
        """Return where the tables that are there are not as the code declares them."""
        with self._engine.connect() as connection:
            connection.execution_options(reads=True)
            states = schema.read_states(connection, self._sets)
            return [
                text
                for metadata, state in zip(self._sets, states, strict=True)
                if state.word != "absent"
                for text in _differences(connection, metadata)
            ]

    def upgrade(self, before: Callable[[], None]) -> list[Step]:
        """Apply every revision that is missing, make the sets that are; return what was done.

        ``before`` is called once nobody else can write and before anything changes, unless no
        table that is there would be changed. Raises SchemaMismatch for tables of a newer version,
        ConfigError for revisions that do not lead to what the code declares; then nothing changed.
        """
        with self._engine.begin() as connection:
            schema.lock(connection)
            states = schema.read_states(connection, self._sets)
            for state in states:
                if state.word in ("newer", "incomplete"):
                    state.demand_current()
            if any(state.word == "older" for state in states):
                before()
            wait_longer_on_postgresql(connection)
            steps = [
                step
                for metadata, state in zip(self._sets, states, strict=True)
                for step in _bring_up(connection, metadata, state)
            ]
            _check_references(connection)
            return steps


def wait_longer_on_postgresql(connection: sa.Connection) -> None:
    """Let a revision take its time: a large table is rewritten in minutes."""
    if connection.dialect.name == "postgresql":
        wait_longer(connection, None)


def _bring_up(
    connection: sa.Connection, metadata: sa.MetaData, state: schema.SetState
) -> Iterator[Step]:
    if state.word == "absent":
        schema.create(connection, metadata)
        yield Step(state.tables, "", "made as declared")
    if state.word != "older":
        return
    missing = state.known[state.known.index(state.revision or schema.FIRST) + 1 :]
    context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
    for script in _scripts(metadata, state.known):
        if script.revision in missing:
            with Operations.context(context):
                script.module.upgrade()
            yield Step(state.tables, script.revision, script.doc)
    schema.record_revision(connection, metadata, state.newest)
    if found := _differences(connection, metadata):
        raise ConfigError(
            f"the revisions do not lead to the tables that the code declares: {'; '.join(found)}",
            file=str(schema.revisions_folder(metadata)),
            fix="nothing was changed; have the author of these tables correct the revisions",
        )


def _scripts(metadata: sa.MetaData, known: Sequence[str]) -> list[Script]:
    """Return the revisions of a set, the oldest first; raises ConfigError for a broken chain."""
    folder = str(schema.revisions_folder(metadata))
    try:
        chain = list(ScriptDirectory(folder, version_locations=[folder]).walk_revisions())[::-1]
    except CommandError as error:
        raise ConfigError(str(error), file=folder) from None
    if (schema.FIRST, *(script.revision for script in chain)) != tuple(known):
        raise ConfigError(
            "the revisions are not one chain in the order of their files",
            file=folder,
            fix='in 0002_x.py write revision = "0002" and down_revision = "0001"; in the first '
            "down_revision = None",
        )
    return chain


def _differences(connection: sa.Connection, metadata: sa.MetaData) -> list[str]:
    def is_ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in metadata.tables

    options = {"compare_type": True, "include_name": is_ours}
    context = MigrationContext.configure(connection, opts=options)
    return [_in_words(found) for found in compare_metadata(context, metadata)]


def _in_words(difference: Any) -> str:
    """Return one of Alembic's differences as ``add_column clients.note``."""
    if isinstance(difference, list):  # of one column several
        return ", ".join(_in_words(each) for each in difference)
    kind, *rest = difference
    named = dict.fromkeys(name for each in rest[:4] if (name := _name(each)))
    # The table of a column is beside it as well.
    spare = [name for name in named if any(each.startswith(f"{name}.") for each in named)]
    return " ".join((kind, *(name for name in named if name not in spare)))


def _name(thing: Any) -> str:
    if isinstance(thing, sa.Column) and thing.table is not None:
        return f"{thing.table.name}.{thing.name}"
    return thing if isinstance(thing, str) else str(getattr(thing, "name", "") or "")


def _ignore_references(connection: Any, record: object) -> None:
    # Where a table is made anew, as Alembic does it on SQLite, its rows are gone for a moment.
    connection.execute("PRAGMA foreign_keys=OFF")


def _check_references(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise ConfigError(
            f"after the revisions a row of {broken[0]} refers to a row of {broken[2]} that is not "
            "there",
            fix="nothing was changed; have the author of these tables correct the revisions",
        )
