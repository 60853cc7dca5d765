"""Tables are made as declared, and never used at another revision than the code's."""

from __future__ import annotations

import functools
import re
from contextlib import closing

import pytest
import sqlalchemy as sa

from secureml.config_error import ConfigError
from secureml.state.schema import FIRST, SchemaMismatch, known_revisions, read_states
from secureml.state.store import Store

REVISION = '''"""{title}"""
import sqlalchemy as sa
from alembic import op
revision = "{number}"
down_revision = {before}
def upgrade():
    {code}
'''


def declare(revisions=None, *, note=False, **info):
    """Return a set of two tables, of which one has got a column since."""
    metadata = sa.MetaData(info=info if revisions is None else {"revisions": revisions, **info})
    more = [sa.Column("note", sa.String(20), nullable=False, server_default="")] if note else []
    sa.Table("test_rows", metadata, sa.Column("id", sa.String(8), primary_key=True), *more)
    sa.Table("test_others", metadata, sa.Column("id", sa.String(8), primary_key=True))
    return metadata


def write_revisions(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("")
    return folder


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'secureml.db'}"


def opened(url, *sets):
    """Return the state of each set after a store was opened with them."""
    with closing(Store(url)) as store:
        for metadata in sets:
            store.register(metadata)
        with store.read() as connection:
            return read_states(connection, sets)


def test_a_new_store_is_made_at_the_newest_revision(tmp_path, url):
    folder = write_revisions(tmp_path / "revisions", "0001_add_note.py", "0002_more.py")
    (state,) = opened(url, declare(folder, note=True))

    assert (state.word, state.revision, state.known) == ("current", "0002", (FIRST, "0001", "0002"))
    assert opened(url, declare(folder, note=True)) == [state]


def test_a_set_without_revisions_is_current_as_it_was_first_declared(url):
    (state,) = opened(url, declare())

    assert (state.word, state.revision, state.newest) == ("current", FIRST, FIRST)


@pytest.mark.parametrize("there_before", [True, False])
def test_tables_at_an_older_revision_are_not_used(tmp_path, url, there_before):
    """Neither where they were opened with the store, nor where they are registered later."""
    opened(url, declare())
    newer = declare(write_revisions(tmp_path / "revisions", "0001_add_note.py"), note=True)
    with closing(Store(url)) as store:
        if there_before:
            store.register(newer)
        use = store.versions
        if not there_before:
            store.versions()
            use = functools.partial(store.register, newer)
        with pytest.raises(SchemaMismatch) as refused:
            use()
    assert str(refused.value) == (
        "the tables test_others, test_rows of the store are at the first revision, older than "
        "revision 0001 that this version needs; fix: secureml db upgrade"
    )


@pytest.mark.parametrize("known", [(), ("0001_add_note.py",)])
def test_tables_at_a_newer_revision_are_not_used(tmp_path, url, known):
    """Also by a version that knows of no revision at all."""
    folder = write_revisions(tmp_path / "newer", "0001_add_note.py", "0002_more.py")
    opened(url, declare(folder, note=True))
    older = declare(write_revisions(tmp_path / "older", *known) if known else None)

    with pytest.raises(SchemaMismatch, match="at revision 0002, newer than"):
        opened(url, older)


def test_a_table_that_is_missing_beside_others_of_its_set_is_never_made(url):
    """Whoever added it to a set that is in use would find it made here and missing elsewhere."""
    metadata = declare()
    opened(url, metadata)
    sa.Table("test_thirds", metadata, sa.Column("id", sa.String(8), primary_key=True))

    with pytest.raises(SchemaMismatch, match="lacks the table test_thirds of the set"):
        opened(url, metadata)


def test_tables_under_their_former_names_are_found_to_be_older(tmp_path, url):
    """Else empty ones would be made beside them, and the rows be forgotten."""
    opened(url, declare())
    folder = write_revisions(tmp_path / "revisions", "0001_rename.py")
    renamed = sa.MetaData(info={"revisions": folder, "former_tables": ("test_rows",)})
    sa.Table("test_lines", renamed, sa.Column("id", sa.String(8), primary_key=True))

    with pytest.raises(SchemaMismatch, match="test_lines of the store are at the first revision"):
        opened(url, renamed)


def test_the_check_of_a_start_makes_nothing_and_leaves_nothing_open(tmp_path, url):
    with closing(Store(url)) as store:
        store.demand_current_schema()
        store.register(declare())
        with store.read() as connection:
            before = set(sa.inspect(connection).get_table_names())
    with closing(Store(url)) as store:
        folder = write_revisions(tmp_path / "revisions", "0001_add_note.py")
        store.register(declare(folder, note=True))
        with pytest.raises(SchemaMismatch):
            store.demand_current_schema()
        assert store._engine is None
    with closing(Store(url)) as store, store.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == before
        assert {"changes", "test_rows", "test_others"} == before


@pytest.mark.parametrize("names", [("add_note.py",), ("0001_one.py", "0001_two.py")])
def test_a_file_that_is_no_revision_stops_the_start(tmp_path, url, names):
    folder = write_revisions(tmp_path / "revisions", *names)
    with closing(Store(url)) as store, pytest.raises(ConfigError, match=re.escape(names[-1])):
        store.register(declare(folder))


def test_a_folder_that_is_not_there_stops_the_start(tmp_path):
    """Else its tables would count as never changed."""
    with pytest.raises(ConfigError, match="folder of revisions"):
        known_revisions(declare(tmp_path / "nowhere"))
