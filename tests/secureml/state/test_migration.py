"""An older store is upgraded whole or not at all, on both databases, and its rows stay."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from secureml.config_error import ConfigError
from secureml.core import build_core
from secureml.state.migration import Migration
from secureml.state.schema import SchemaMismatch
from secureml.state.store import Store

ROOT = Path(__file__).parents[3]
HEAD = '''"""{title}"""
import sqlalchemy as sa
from alembic import op
revision = "{number}"
down_revision = {before}
def upgrade():
'''
ADD_NOTE = """
    op.add_column("test_rows", sa.Column("note", sa.String(20), nullable=False, server_default=""))
    op.create_index("ix_test_rows_note", "test_rows", ["note"])
"""
WIDEN = """
    with op.batch_alter_table("test_rows") as table:
        table.alter_column("id", type_=sa.String(80), existing_type=sa.String(8))
    op.create_table("test_others", sa.Column("id", sa.String(8), primary_key=True))
    op.execute("UPDATE test_rows SET note = 'old'")
"""


def first():
    """The set as it was first declared."""
    metadata = sa.MetaData()
    sa.Table("test_rows", metadata, sa.Column("id", sa.String(8), primary_key=True))
    return metadata


def second(folder):
    """The set after two revisions, and its table of rows."""
    metadata = sa.MetaData(info={"revisions": folder})
    rows = sa.Table(
        "test_rows",
        metadata,
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("note", sa.String(20), nullable=False, server_default="", index=True),
    )
    sa.Table("test_others", metadata, sa.Column("id", sa.String(8), primary_key=True))
    return metadata, rows


@pytest.fixture
def revisions(tmp_path):
    """Return what writes revisions and returns their folder."""

    def write(*codes):
        folder = tmp_path / "revisions"
        folder.mkdir(exist_ok=True)
        for number, code in enumerate(codes, 1):
            before = f'"{number - 1:04}"' if number > 1 else None
            head = HEAD.format(title=f"Step {number}.", number=f"{number:04}", before=before)
            (folder / f"{number:04}_step.py").write_text(head + code)
        return folder

    return write


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'secureml.db'}"
    return request.getfixturevalue("postgresql").create_database()


@pytest.fixture
def old(url):
    """A store with the first tables, a row in them, and a change that was counted."""
    with closing(Store(url)) as store:
        store.register(metadata := first())
        with store.begin() as connection:
            connection.execute(metadata.tables["test_rows"].insert().values(id="kept"))
            store.touch(connection, "topic")
    return url


def migration(url, metadata):
    store = Store(url)
    store.register(metadata)
    return closing(Migration(store.url, store.table_sets))


def nothing():
    """Be what is done before."""


def test_an_older_store_gets_every_revision_and_keeps_its_rows(old, revisions):
    """And is then used, and as declared to the last index."""
    metadata, rows = second(revisions(ADD_NOTE, WIDEN))
    with migration(old, metadata) as found:
        assert [state.word for state in found.states()] == ["current", "older"]
        steps = found.upgrade(nothing)
        assert [(step.revision, step.title) for step in steps] == [
            ("0001", "Step 1."),
            ("0002", "Step 2."),
        ]
        assert found.differences() == []
        assert found.upgrade(nothing) == []

    with closing(Store(old)) as store:
        store.register(metadata)
        assert store.version("topic") == 1
        with store.read() as connection:
            assert connection.execute(sa.select(rows)).all() == [("kept", "old")]


def test_what_is_done_before_is_done_before_anything_changes_and_only_then(old, revisions):
    """So a copy that cannot be made leaves everything as it was."""
    metadata, _ = second(revisions(ADD_NOTE, WIDEN))

    def refuse():
        raise OSError("no space")

    with migration(old, metadata) as found:
        with pytest.raises(OSError, match="no space"):
            found.upgrade(refuse)
        assert [state.word for state in found.states()] == ["current", "older"]
    with migration(old, first()) as found:
        assert found.upgrade(refuse) == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (ADD_NOTE + "    op.drop_table('nowhere')\n", sa.exc.DBAPIError),
        (ADD_NOTE, ConfigError),  # it leaves a table out
    ],
)
def test_revisions_that_fail_or_lead_elsewhere_change_nothing(old, revisions, code, why):
    """Also what they had done already, tables and all."""
    metadata, _ = second(revisions(code))
    with migration(old, metadata) as found:
        with pytest.raises(why):
            found.upgrade(nothing)
        assert [state.revision for state in found.states()] == ["", ""]
    with closing(Store(old)) as store:
        store.register(first())
        with store.read() as connection:
            assert connection.exec_driver_sql("SELECT * FROM test_rows").all() == [("kept",)]


def test_a_newer_store_is_left_alone(old, revisions, tmp_path):
    metadata, _ = second(revisions(ADD_NOTE, WIDEN))
    with migration(old, metadata) as found:
        found.upgrade(nothing)
    with migration(old, first()) as found, pytest.raises(SchemaMismatch, match="newer than"):
        found.upgrade(nothing)


def test_a_chain_with_a_gap_is_refused(old, revisions):
    folder = revisions(ADD_NOTE, WIDEN)
    text = (folder / "0002_step.py").read_text()
    (folder / "0002_step.py").write_text(
        text.replace('down_revision = "0001"', "down_revision = None")
    )
    metadata, _ = second(folder)

    with migration(old, metadata) as found, pytest.raises(ConfigError, match="one chain"):
        found.upgrade(nothing)


def test_two_that_upgrade_at_once_do_it_once(old, revisions):
    """The second waits for the first, and finds nothing to do."""
    metadata, _ = second(revisions(ADD_NOTE, WIDEN))
    done, inside, go_on = [], threading.Event(), threading.Event()

    def wait():
        inside.set()
        assert go_on.wait(20)

    def run(before):
        with migration(old, metadata) as found:
            done.append([step.revision for step in found.upgrade(before)])

    one = threading.Thread(target=run, args=(wait,))
    one.start()
    assert inside.wait(20)
    other = threading.Thread(target=run, args=(nothing,))
    other.start()
    go_on.set()
    one.join(30)
    other.join(30)

    assert done == [["0001", "0002"], []]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_table_of_a_whole_instance_is_as_declared(request, fresh_instance, kind):
    """The core's and those of every plugin that has some."""
    core = build_core(fresh_instance)
    url = str(core.store.url)
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql").create_database()
    import_every_table(core.store)
    with closing(Store(url)) as store:
        for metadata in core.store.table_sets:
            store.register(metadata)
        store.versions()
    with closing(Migration(sa.make_url(url), core.store.table_sets)) as found:
        assert len(found.states()) > 15
        assert {state.word for state in found.states()} == {"current"}
        assert found.differences() == []


def import_every_table(store):
    """Register every set that the code declares."""
    import importlib
    import pkgutil

    for package in ("secureml.state", "plugins"):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            for value in vars(importlib.import_module(found.name)).values():
                if isinstance(value, sa.MetaData):
                    store.register(value)
                elif isinstance(value, sa.Table):
                    store.register(value.metadata)


def test_nothing_that_serves_imports_alembic():
    """It runs files of Python by their place in a folder, and is needed by an operator alone."""
    code = "import secureml.app, secureml.workers, sys; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
