"""A watched table: read again after a change, and never on any other request."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from secureml import Store, StoreUnavailable
from secureml.kit.watched_table import WatchedTable

TOPIC = "shelf"
_metadata = sa.MetaData()
_table = sa.Table("shelf", _metadata, sa.Column("name", sa.String(20), primary_key=True))


@pytest.fixture
def store(tmp_path):
    """A store with one table."""
    made = Store(f"sqlite:///{tmp_path / 'secureml.db'}")
    made.register(_metadata)
    yield made
    made.close()


def watched(store):
    """Return a watched table, and the list of times it was read."""
    reads = []

    def read():
        with store.read() as connection:
            reads.append(1)
            return set(connection.execute(sa.select(_table.c.name)).scalars())

    return WatchedTable(store, TOPIC, read), reads


def add(store, name, topic=TOPIC):
    with store.begin() as connection:
        connection.execute(_table.insert().values(name=name))
        store.touch(connection, topic)


def test_it_is_read_once_and_again_after_each_change(store):
    table, reads = watched(store)
    for _ in range(3):
        assert table.current() == set()
    add(store, "one")
    for _ in range(3):
        assert table.current() == {"one"}
    assert len(reads) == 2


def test_a_change_of_another_topic_costs_nothing(store):
    table, reads = watched(store)
    table.current()
    add(store, "unseen", topic="elsewhere")
    assert table.current() == set()
    assert len(reads) == 1


def test_a_change_while_it_is_read_is_read_again(store):
    """The counter is taken before the rows, so it is the older of the two."""
    table, _ = watched(store)
    first = table._read

    def read_and_change():
        found = first()
        if not found:
            add(store, "between")
        return found

    table._read = read_and_change
    table.current()
    assert table.current() == {"between"}


def test_a_store_that_is_away_is_no_empty_table(store, tmp_path):
    table, _ = watched(store)
    add(store, "one")
    assert table.last() is None
    assert table.current() == {"one"}
    (tmp_path / "secureml.db").unlink()
    with pytest.raises(StoreUnavailable):
        table.current()
    assert table.last() == {"one"}, "for who may go on with what was known"
