"""Which tables the store must have, and at which revision they must be.

A set of tables is one registered ``sa.MetaData``. Tables that are missing are made as declared.
Tables that are there are changed by revisions alone (``secureml db upgrade``): a worker that finds
them at an older or a newer one uses none of them.

A set whose declaration has changed since its first one names the folder of its revisions,
``sa.MetaData(info={"revisions": folder})``: a file of Alembic for each, ``0001_add_note.py``. The
number of the last one is what the set must be at. Here their names are read, no file is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from secureml.config_error import ConfigError
from secureml.state.engines import StoreUnavailable
from secureml.state.postgresql import wait_longer

MAKING_SECONDS = 60  # how long a worker waits at its start for the others that make tables
FIRST = ""  # the revision of tables that are as they were first declared
_FILE = re.compile(r"([0-9]{4})_[a-z0-9_]+\.py")

_own = sa.MetaData()
# A set that is at its first revision has no rows, so most tables need none.
_revisions = sa.Table(
    "schema_revisions",
    _own,
    sa.Column("table_name", sa.String(128), primary_key=True),
    sa.Column("revision", sa.String(4), nullable=False),
)


class SchemaMismatch(StoreUnavailable):
    """The tables are not those that this version of the code reads and writes."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}; fix: {fix}")
        self.message, self.fix = message, fix


@dataclass(frozen=True, slots=True)
class SetState:
    """What the database has of a set of tables.

    ``revision`` is what they are at, None where there are none; ``known`` are the revisions of the
    code, the oldest first; ``missing`` are tables that the set declares and the database lacks.
    """

    tables: tuple[str, ...]
    revision: str | None
    known: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def newest(self) -> str:
        """The revision that the code needs."""
        return self.known[-1]

    @property
    def word(self) -> str:
        """``absent``, ``current``, ``older``, ``newer`` or ``incomplete``."""
        if self.revision is None:
            return "absent"
        if self.revision not in self.known:
            return "newer"
        if self.revision != self.newest:
            return "older"
        return "incomplete" if self.missing else "current"

    def demand_current(self) -> None:
        """Raise SchemaMismatch where these tables must not be used."""
        if self.word == "current":
            return
        names = ", ".join(self.tables)
        found, newest = shown(self.revision or FIRST), shown(self.newest)
        if self.word == "newer":
            raise SchemaMismatch(
                f"the tables {names} of the store are at {found}, newer than {newest} of this "
                "version",
                "run the version that upgraded the store, or restore the backup made before",
            )
        if self.word == "older":
            raise SchemaMismatch(
                f"the tables {names} of the store are at {found}, older than {newest} that this "
                "version needs",
                "secureml db upgrade",
            )
        raise SchemaMismatch(
            f"the store lacks the table {', '.join(self.missing)} of the set {names}",
            "restore it from a backup, or write a revision that makes it, see docs/plugins.md",
        )


def shown(revision: str) -> str:
    """Return a revision in words."""
    return f"revision {revision}" if revision else "the first revision"


def revisions_folder(metadata: sa.MetaData) -> Path | None:
    """Return the folder with the revisions of a set; raises ConfigError where it is not there."""
    found = metadata.info.get("revisions")
    if found is not None and not Path(found).is_dir():
        raise ConfigError(
            "the folder of revisions of a set of tables is missing",
            file=str(found),
            fix="make it, or remove `revisions` from the info of the sa.MetaData",
        )
    return None if found is None else Path(found)


def known_revisions(metadata: sa.MetaData) -> tuple[str, ...]:
    """Return the revisions of a set, the oldest first; raises ConfigError for a wrong file name."""
    folder = revisions_folder(metadata)
    files = [] if folder is None else sorted(path.name for path in folder.glob("*.py"))
    numbers = []
    for name in files:
        match = _FILE.fullmatch(name)
        if match is None or match[1] in numbers:
            raise ConfigError(
                f"{name} is no name of a revision, or its number is used twice",
                file=str(folder),
                fix="name the files 0001_add_note.py, 0002_..., in the order of the revisions",
            )
        numbers.append(match[1])
    return (FIRST, *numbers)


def lock(connection: sa.Connection) -> None:
    """Keep other processes and hosts from making or changing tables until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # Workers start together; on SQLite the transaction itself lets in one at a time. The last
        # of many waits for all the others, longer than a request may wait for a lock.
        wait_longer(connection, MAKING_SECONDS)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7365637572656)"))


def make_all_tables(engine: sa.Engine, sets: Sequence[sa.MetaData]) -> None:
    """Make what is missing in a database, one process after the other; raises SchemaMismatch."""
    with engine.begin() as connection:
        lock(connection)
        make_tables(connection, sets)


def make_tables(connection: sa.Connection, sets: Sequence[sa.MetaData]) -> list[SetState]:
    """Make the sets of which no table is there; raises SchemaMismatch where another is not current.

    Returns the state of each set before.
    """
    states = read_states(connection, sets)
    for metadata, state in zip(sets, states, strict=True):
        if state.word == "absent":
            create(connection, metadata)
        else:
            state.demand_current()
    return states


def create(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Make the tables of a set as they are declared, at its newest revision."""
    metadata.create_all(connection, checkfirst=False)
    record_revision(connection, metadata, known_revisions(metadata)[-1])


def record_revision(connection: sa.Connection, metadata: sa.MetaData, revision: str) -> None:
    """Write down what the tables of a set are at, and forget tables that are gone."""
    if revision == FIRST:
        return
    _own.create_all(connection)
    there = sa.inspect(connection).get_table_names()
    gone = sa.or_(
        _revisions.c.table_name.in_(metadata.tables.keys()), _revisions.c.table_name.not_in(there)
    )
    connection.execute(sa.delete(_revisions).where(gone))
    rows = [{"table_name": name, "revision": revision} for name in metadata.tables]
    connection.execute(sa.insert(_revisions), rows)


def demand_current(connection: sa.Connection, sets: Sequence[sa.MetaData]) -> None:
    """Raise SchemaMismatch unless each set is current or not there yet; writes nothing."""
    for state in read_states(connection, sets):
        if state.word != "absent":
            state.demand_current()


def read_states(connection: sa.Connection, sets: Sequence[sa.MetaData]) -> list[SetState]:
    """Return what the database has of each set."""
    there = set(sa.inspect(connection).get_table_names())
    recorded: Mapping[str, str] = {}
    if _revisions.name in there:
        rows = connection.execute(sa.select(_revisions))
        recorded = {row.table_name: row.revision for row in rows}
    return [_state(metadata, there, recorded) for metadata in sets]


def _state(metadata: sa.MetaData, there: set[str], recorded: Mapping[str, str]) -> SetState:
    names = tuple(sorted(metadata.tables))
    # Where a revision has renamed them, none of today's names says that older ones are there.
    former: Iterable[str] = metadata.info.get("former_tables", ())
    found = there.intersection((*names, *former))
    revision = max((recorded.get(name, FIRST) for name in found), default=None)
    missing = tuple(name for name in names if name not in there)
    return SetState(names, revision, known_revisions(metadata), missing)
