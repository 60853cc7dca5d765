"""A backup holds all that an instance is, taken while it serves, and says what it has not."""

from __future__ import annotations

import json
import sqlite3
import stat
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from secureml.app import create_app


@pytest.fixture
def production(tmp_path, type_command):
    """An instance as on a server: its store in a folder of its own."""
    instance = tmp_path / "site" / "instance"
    words = ["init", "--profile", "production", "--host", "ml.example.org"]
    assert type_command(*words, "--instance", instance).code == 0
    return instance


def names(file):
    with tarfile.open(file) as tar:
        return set(tar.getnames())


def restored(type_command, file, place):
    done = type_command("restore", file, "--instance", place)
    assert done.code == 0, done.err
    return place


def modes(folder):
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
        if "run" not in path.relative_to(folder).parts[:1]
        and not path.name.endswith(("-wal", "-shm"))
    }


def test_all_of_it_comes_back_with_its_modes(production, tmp_path, type_command):
    assert type_command("clients", "add", "acme", "--instance", production).code == 0
    file = tmp_path / "backup.tar.gz"
    done = type_command("backup", file, "--instance", production, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["missing"] == []
    place = restored(type_command, file, tmp_path / "again")
    assert modes(place) == modes(production)
    for path in production.rglob("*"):
        if path.is_file() and path.suffix not in (".db", ".jsonl") and path.name != "audit-head":
            same = path.relative_to(production)
            if same.parts[0] != "run" and not path.name.endswith(("-wal", "-shm")):
                assert (place / same).read_bytes() == path.read_bytes(), same
    for path in ("logs/audit", "store/secureml.db", "store/audit-head", "keys/audit.key"):
        assert (place / path).exists(), path


def test_it_is_for_its_owner_alone_and_never_written_over(production, tmp_path, type_command):
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    done = type_command("backup", file, "--instance", production)
    assert (done.code, "fix: name another" in done.err) == (2, True)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == [file.name]
    assert type_command("backup", production / "b", "--instance", production).code == 2


def test_the_restored_log_is_whole_though_records_were_written_all_the_time(
    production, tmp_path, type_command
):
    """What knows of the end of the log is copied before the log."""
    file, done = tmp_path / "backup.tar.gz", threading.Event()
    text = (production / "secureml.toml").read_text()
    (production / "secureml.toml").write_text(
        text.replace("[plugins.audit_log]\n", '[plugins.audit_log]\nrotate = "64KiB"\n')
    )
    core = create_app(production).extensions["secureml"]
    written = []

    def write():
        while not done.is_set():
            from secureml.pipeline.events import Event

            core.emit(Event("user_updated", "acme", {"fill": "x" * 200}))
            written.append(1)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for number in range(4):
            each = file.with_name(f"{number}.tar.gz")
            assert type_command("backup", each, "--instance", production).code == 0
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert written
    for number in range(4):
        place = restored(
            type_command, file.with_name(f"{number}.tar.gz"), tmp_path / f"again-{number}"
        )
        text = (place / "secureml.toml").read_text()
        (place / "secureml.toml").write_text(text.replace(str(production), str(place)))
        said = type_command("audit-log", "verify", "--instance", place)
        assert said.code == 0, said.out


def test_a_log_that_rotates_after_its_head_was_copied_is_whole(
    production, tmp_path, type_command, monkeypatch
):
    """The file that is new then belongs to the copy: the head may know of records in it."""
    from secureml.cli import backup
    from secureml.pipeline.events import Event

    text = (production / "secureml.toml").read_text()
    (production / "secureml.toml").write_text(
        text.replace("[plugins.audit_log]\n", '[plugins.audit_log]\nrotate = "64KiB"\n')
    )
    core, add = create_app(production).extensions["secureml"], backup._add

    def write():
        for _ in range(300):
            core.emit(Event("user_updated", "acme", {"fill": "x" * 200}))

    def add_while_others_write(writer, path, name, **words):
        if path.name == "audit-head":
            write()  # before its copy, and after it
        add(writer, path, name, **words)
        if path.name == "audit-head":
            write()

    write()
    monkeypatch.setattr(backup, "_add", add_while_others_write)
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    said = type_command(
        "audit-log", "verify", "--instance", restored(type_command, file, tmp_path / "again")
    )
    assert said.code == 0, said.out


def test_a_database_is_whole_in_the_middle_of_a_transaction(production, tmp_path, type_command):
    database = production / "store" / "secureml.db"
    file = tmp_path / "backup.tar.gz"
    with closing(sqlite3.connect(database, isolation_level=None)) as writing:
        writing.execute("CREATE TABLE half (n)")
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("INSERT INTO half VALUES (1)")
        assert type_command("backup", file, "--instance", production).code == 0
        writing.execute("COMMIT")
    place = restored(type_command, file, tmp_path / "again")
    assert not list((place / "store").glob("*-wal"))
    with closing(sqlite3.connect(place / "store" / "secureml.db")) as copy:
        assert copy.execute("SELECT count(*) FROM half").fetchone() == (0,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_log_is_copied_up_to_its_last_whole_line(production, tmp_path, type_command):
    (production / "logs" / "access.log").write_text('{"a":1}\n{"b":2}\n{"half')
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    place = restored(type_command, file, tmp_path / "again")
    assert (place / "logs" / "access.log").read_text() == '{"a":1}\n{"b":2}\n'


def test_what_is_made_anew_at_each_start_stays_out(production, tmp_path, type_command):
    (production / "run" / "metrics" / "counter_1.db").write_bytes(b"x")
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    assert not [name for name in names(file) if name.startswith("instance/run/")]
    place = restored(type_command, file, tmp_path / "again")
    assert (place / "run" / "metrics").is_dir()


def test_a_folder_that_a_link_leads_to_is_saved_too(production, tmp_path, type_command):
    """Logs on a disk of their own: the link alone would be no backup of them."""
    assert type_command("clients", "add", "acme", "--instance", production).code == 0
    disk = tmp_path / "disk"
    (production / "logs" / "audit").rename(disk)
    (production / "logs" / "audit").symlink_to(disk)
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    place = restored(type_command, file, tmp_path / "again")
    assert not (place / "logs" / "audit").is_symlink()
    assert list((place / "logs" / "audit").glob("audit-*.jsonl"))


def test_a_link_to_a_folder_that_holds_the_instance_is_refused(production, tmp_path, type_command):
    (production / "logs" / "all").symlink_to(tmp_path)
    done = type_command("backup", tmp_path / "b", "--instance", production)
    assert (done.code, "fix: remove the link" in done.err) == (2, True)
    assert not list(tmp_path.glob("*b.part"))


def test_what_settings_name_elsewhere_is_saved_or_said(production, tmp_path, type_command):
    secret = tmp_path / "edge-token"
    secret.write_text("t" * 40)
    secret.chmod(0o600)
    text = (production / "secureml.toml").read_text()
    text = text.replace('"file:keys/edge-token"', f'"file:{secret}"')
    (production / "secureml.toml").write_text(text)
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    assert f"outside{secret}" in names(file)

    text = text.replace(f'"file:{secret}"', '"env:EDGE_TOKEN"')
    (production / "secureml.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EDGE_TOKEN", "t" * 40)
        done = type_command("backup", tmp_path / "b", "--instance", production)
    assert (done.code, "not in it: env:EDGE_TOKEN" in done.out) == (0, True)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkey+unix"])
def test_what_a_plugin_keeps_in_redis_is_said_with_its_name(
    production, tmp_path, type_command, scheme
):
    file = production / "secureml.toml"
    heading = "[plugins.rate_limit]\n"
    line = f'redis = "{scheme}://127.0.0.1:1/0"\n'
    file.write_text(file.read_text().replace(heading, f"{heading}{line}"))
    done = type_command("backup", tmp_path / "b", "--instance", production)
    assert (done.code, "not in it: what rate_limit keeps in Redis" in done.out) == (0, True)


def test_the_counters_of_workers_are_left_out_as_their_plugin_declares(
    production, tmp_path, type_command
):
    (production / "run" / "metrics" / "counter_1.db").write_bytes(b"1")
    (production / "run" / "gunicorn.sock").touch()
    (production / "nginx" / "nginx.conf").write_text("made by serve")
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", production).code == 0
    assert [
        name for name in names(file) if name.startswith(("instance/run", "instance/nginx"))
    ] == []


def test_more_is_saved_where_it_is_named(production, tmp_path, type_command):
    folder = tmp_path / "nginx"
    folder.mkdir()
    (folder / "nginx.conf").write_text("events {}")
    (folder / "here.conf").symlink_to("nginx.conf")
    file = tmp_path / "backup.tar.gz"
    done = type_command("backup", file, "--with", folder, "--instance", production)
    assert done.code == 0, done.err
    (folder / "nginx.conf").write_text("other")
    done = type_command("restore", file, "--instance", tmp_path / "again", "--json")
    assert done.code == 0, done.err
    assert (folder / "nginx.conf").read_text() == "events {}"
    assert (folder / "nginx.conf~").read_text() == "other"
    assert (folder / "here.conf").readlink() == Path("nginx.conf")
    assert f"{folder}/nginx.conf~" in json.loads(done.out)["kept"]
