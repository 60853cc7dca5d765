"""Makes the tables of a store, and gives those of an earlier version what they lack.

A table that is there already would otherwise stay as it was made, and every statement that
names a newer column would fail. A column that was added to a table must be nullable or have a
``server_default``: there are rows already.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

MAKING_SECONDS = 60  # how long a worker waits at its start for the others that make tables


def make_all_tables(engine: sa.Engine, tables: Sequence[sa.MetaData]) -> None:
    """Make what is missing in a database, one process after the other."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Workers start together; on SQLite the transaction itself lets in one at a time. The
            # last of many waits for all the others, longer than a request may wait for a lock.
            for name in ("lock_timeout", "statement_timeout"):
                connection.exec_driver_sql(f"SET LOCAL {name} = '{MAKING_SECONDS}s'")
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7365637572656)"))
        for metadata in tables:
            make_tables(connection, metadata)


def make_tables(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Make what is missing of these tables, their columns and their indexes."""
    metadata.create_all(connection)
    found = sa.inspect(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                _add(connection, table, column)
        indexed = {index["name"] for index in found.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexed:
                index.create(connection)


def _add(connection: sa.Connection, table: sa.Table, column: sa.Column[object]) -> None:
    words = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
    name = connection.dialect.identifier_preparer.format_table(table)
    connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {words}")
