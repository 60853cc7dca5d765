"""`secureml db`: where the tables stand, and how they get to where this version needs them."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing

import pytest
import sqlalchemy as sa

from secureml.app import create_app
from secureml.config_error import ConfigError
from secureml.state import clients
from secureml.state.store import Store

CODE = '''"""Remember a colour."""
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.add_column("clients", sa.Column("colour", sa.String(20), nullable=True))
'''


@pytest.fixture
def run_db(fresh_instance, type_command):
    """Return what types `secureml db ...` with --json; a refusal is its text."""

    def run_it(*words):
        said = type_command("db", *words, "--instance", fresh_instance, "--json")
        return json.loads(said.out) if said.out else json.loads(said.err)["error"]

    return run_it


@pytest.fixture
def newer_code(fresh_instance, tmp_path, monkeypatch):
    """A version whose table of clients has one more column; the instance is of the one before."""
    with closing(Store(f"sqlite:///{fresh_instance / 'secureml.db'}")) as store:
        clients.Clients(store, lambda: 1.0).add("alice")
    folder = tmp_path / "revisions"
    folder.mkdir()
    (folder / "0001_colour.py").write_text(CODE)
    metadata = sa.MetaData(info={"revisions": folder})
    for table in clients._metadata.sorted_tables:
        table.to_metadata(metadata)
    sa.Table("clients", metadata, sa.Column("colour", sa.String(20)), extend_existing=True)
    monkeypatch.setattr(clients, "_metadata", metadata)


def test_a_new_instance_is_current_and_as_declared(run_db, fresh_instance, type_command):
    assert {state["state"] for state in run_db("current")} <= {"current", "absent"}
    assert run_db("check") == {"ok": True, "differences": []}
    said = type_command("db", "current", "--instance", fresh_instance)
    assert "tables: current, as first declared" in said.out


@pytest.mark.usefixtures("newer_code")
def test_an_older_store_stops_the_start_and_is_upgraded_with_a_copy_beside_it(
    run_db, fresh_instance
):
    """The line of the refusal is the command that ends it; the copy is the store of before."""
    with pytest.raises(ConfigError, match=r"at the first revision.*; fix: secureml db upgrade$"):
        create_app(fresh_instance, warn=False)
    assert "fix: secureml db upgrade" in run_db("check")

    done = run_db("upgrade")
    assert [step["title"] for step in done["steps"] if step["revision"]] == ["Remember a colour."]
    copy = fresh_instance / done["copy"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as before:
        columns = {row[1] for row in before.execute("PRAGMA table_info(clients)")}
        assert before.execute("SELECT name FROM clients").fetchall() == [("alice",)]
    assert "colour" not in columns

    assert run_db("check")["ok"]
    app = create_app(fresh_instance, warn=False)
    assert app.extensions["secureml"].clients.get("alice").enabled
    app.extensions["secureml"].close()
    assert run_db("upgrade") == {"steps": [], "copy": None}


def test_a_newer_store_stops_the_start(run_db, fresh_instance, newer_code, monkeypatch):
    """That of the version before this one, which is the one that stays installed here."""
    run_db("upgrade")
    monkeypatch.undo()

    with pytest.raises(ConfigError, match="revision 0001, newer than the first revision of this"):
        create_app(fresh_instance, warn=False)
    assert "newer than the first revision" in run_db("upgrade")


def test_tables_that_somebody_changed_by_hand_are_found(run_db, fresh_instance, type_command):
    assert type_command("clients", "add", "alice", "--instance", fresh_instance).code == 0
    with closing(sqlite3.connect(fresh_instance / "secureml.db")) as store:
        store.execute("ALTER TABLE clients ADD COLUMN mine INTEGER")

    assert run_db("check") == {"ok": False, "differences": ["remove_column clients.mine"]}
    assert type_command("db", "check", "--instance", fresh_instance).code == 1


def test_a_start_with_a_store_that_does_not_answer_goes_on(fresh_instance):
    """Requests are refused until it answers: a start that waits for a database helps nobody."""
    (fresh_instance / "secureml.db").write_bytes(b"nonsense" * 200)

    app = create_app(fresh_instance, warn=False)
    assert app.extensions["secureml"].readiness()[0]() == "store_unavailable"
    app.extensions["secureml"].close()
