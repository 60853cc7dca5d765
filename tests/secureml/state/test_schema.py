"""Tables of an earlier version get what they lack, and keep what they hold."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from secureml.state.store import Store

metadata = sa.MetaData()
table = sa.Table(
    "test_grown",
    metadata,
    sa.Column("id", sa.String(8), primary_key=True),
    sa.Column("order", sa.String(20), nullable=False, server_default="", index=True),
    sa.Column("seen", sa.Float, nullable=False, server_default="0"),
    sa.Column("note", sa.JSON, nullable=True),
    sa.Index("ix_test_grown_both", "order", "seen"),
)


def names(path, query):
    with sqlite3.connect(path) as connection:
        return {row[1] for row in connection.execute(query)}


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_table_of_an_earlier_version_gets_its_columns_and_indexes(tmp_path, opened_before):
    """The rows that were there stay, with the default; what is written now has all of it."""
    path = tmp_path / "secureml.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE test_grown (id VARCHAR(8) PRIMARY KEY)")
        connection.execute("INSERT INTO test_grown VALUES ('old')")
    path.chmod(0o600)
    for _ in range(2):  # the second time there is nothing to do
        store = Store(f"sqlite:///{path}")
        if opened_before:
            store.versions()
        store.register(metadata)
        with store.begin() as connection:
            rows = connection.execute(sa.select(table).where(table.c.id == "old")).all()
        assert rows == [("old", "", 0.0, None)]
        store.close()

    assert names(path, "PRAGMA table_info(test_grown)") == {"id", "order", "seen", "note"}
    indexes = names(path, "PRAGMA index_list(test_grown)")
    assert {"ix_test_grown_both", "ix_test_grown_order"} <= indexes
