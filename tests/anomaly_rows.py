"""Rows of the tables of `anomaly` as another version, another clock or a fault may leave them."""

from __future__ import annotations

import sqlalchemy as sa

# What a column of counts may hold that no code of this version wrote.
UNREADABLE = {
    "cut": '{"requests": 3, "refu',
    "empty": "",
    "null": "null",
    "a number": "7",
    "a text": '"x"',
    "not a number": "NaN",
    "nested": "[" * 100_000,
    "an object": "{}",
    "numbers of another kind": "[[1.5]]",
    "negative numbers": "[[-1, -1]]",
    "ragged": "[[1, 2], [3]]",
    "huge": "[[" + "9" * 400 + "]]",
}


def run(store, statement, **values):
    """Run one statement on a store in a transaction of its own."""
    with store.begin() as connection:
        connection.execute(sa.text(statement), values)


def look(store, query, **values):
    """Return the rows of a query, each as a tuple."""
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), values)]
