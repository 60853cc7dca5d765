"""Makes the tables of a store, and gives those of an earlier version what they lack.

A table that is there already would otherwise stay as it was made, and every statement that
names a newer column would fail. A column that was added to a table must be nullable or have a
``server_default``: there are rows already.
"""

from __future__ import annotations

import sqlalchemy as sa


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
