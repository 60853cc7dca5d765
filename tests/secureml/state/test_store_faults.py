"""The store where it is treated badly: forks, files taken away, locks that are not given back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from secureml.state import engines
from secureml.state.clients import Clients
from secureml.state.store import Store, StoreUnavailable

ROOT = Path(__file__).parents[3]
OPEN_TOGETHER = """
import sys, time
from secureml.state.clients import Clients
from secureml.state.store import Store
sys.stdin.readline()
store = Store(sys.argv[1])
Clients(store, time.time).add(sys.argv[2])
print(store.version("clients") > 0, flush=True)
"""
KILLED = """
import os, signal, sys
from secureml.state.clients import Clients
from secureml.state.store import Store
clients = Clients(Store(sys.argv[1]), lambda: 1.0)
clients.set_enabled("acme", enabled=False)
os.kill(os.getpid(), signal.SIGKILL)
"""
CLOSED_UNDER_READERS = """
import os, sys, threading
from secureml.state.store import Store, StoreUnavailable
store, end, failed = Store(sys.argv[1]), threading.Event(), []
store.version("clients")
def read():
    while not end.is_set():
        try:
            store.version("clients")
        except BaseException as error:
            failed.append(repr(error))
readers = [threading.Thread(target=read) for _ in range(4)]
for reader in readers:
    reader.start()
for turn in range(300):
    if sys.argv[2] == "close":
        store.close()
    elif (child := os.fork()) == 0:
        os._exit(store.version("clients"))
    else:
        assert os.waitpid(child, 0)[1] == 0
end.set()
for reader in readers:
    reader.join()
print(failed, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secureml.db"


@pytest.fixture
def store(path):
    with closing(Store(f"sqlite:///{path}")) as found:
        yield found


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def locks(path):
    """Return which files of a database this process holds SQLite's locks on."""
    files = {name.stat().st_ino: name.suffix for name in path.parent.glob(path.name + "*")}
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    ours = [words for words in held if words[4] == str(os.getpid())]
    return {files.get(int(words[5].split(":")[2])) for words in ours} - {None}


def in_child(work):
    """Fork, run ``work`` in the child, and return what it gave as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, repr(work()).encode())
        except BaseException as error:  # noqa: BLE001 - told to the parent, which asserts
            os.write(writer, f"raised {error!r}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return found


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs Linux's /proc/locks")
def test_a_child_of_a_process_with_an_open_store_holds_locks_of_its_own(store, path):
    """SQLite counts locks in the process: what is inherited open makes it take none."""
    assert store.version("x") == 0
    expected = locks(path)
    assert expected == {".db", ".db-shm"}

    def use():
        store.version("x")
        return locks(path) == expected

    assert in_child(use) == "True"
    assert store.version("x") == 0
    assert locks(path) == expected


def test_parent_and_child_go_on_beside_one_another(store):
    clients = Clients(store, lambda: 1.0)
    clients.add("parent")
    assert in_child(lambda: (clients.add("child").name, clients.get("parent").name)) == (
        "('child', 'parent')"
    )
    assert clients.get("child").name == "child"


def test_a_fork_between_two_uses_leaves_no_file_open_in_the_child(store, path):
    store.version("x")

    def open_files():
        links = Path("/proc/self/fd").iterdir()
        return [str(link.readlink()) for link in links if link.is_symlink()]

    assert str(path) in " ".join(open_files())
    assert str(path) not in in_child(open_files)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_database_that_is_open_to_others_is_not_used(store, path, mode):
    path.touch()
    path.chmod(mode)
    with pytest.raises(StoreUnavailable, match=f"fix: chmod 600 {path}"):
        store.version("x")


def test_the_files_beside_the_database_are_for_us_alone_too(store, path):
    Clients(store, lambda: 1.0).add("acme")
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys((path.name, path.name + "-wal", path.name + "-shm"), 0o600)


@pytest.mark.parametrize("replaced", [True, False])
def test_attack_no_change_is_confirmed_into_a_file_that_was_taken_away(store, path, replaced):
    """The pool's old handles would take it, and it would be gone with the file."""
    clients = Clients(store, lambda: 1.0)
    clients.add("acme")
    path.rename(path.with_suffix(".old"))
    if replaced:
        path.touch(mode=0o600)
    with pytest.raises(StoreUnavailable):
        clients.set_enabled("acme", enabled=False)
    with pytest.raises(StoreUnavailable):
        clients.list()
    with pytest.raises(StoreUnavailable):
        clients.get("acme")
    assert path.exists() is replaced
    assert not replaced or path.stat().st_size == 0


def test_a_connection_never_makes_the_file_it_does_not_find(path):
    """An empty database with the umask's mode would be the next one opened."""
    with pytest.raises(sqlite3.OperationalError):
        engines.connect(path)
    assert not path.exists()


def test_a_store_that_was_closed_takes_up_a_file_that_was_put_back(store, path):
    clients = Clients(store, lambda: 1.0)
    clients.add("acme")
    store.close()
    path.rename(path.with_suffix(".old"))
    path.with_suffix(".old").rename(path)
    assert clients.get("acme").enabled


def test_a_lock_that_is_not_given_back_ends_in_unavailable_and_readers_go_on(
    store, path, monkeypatch
):
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.2)
    clients = Clients(store, lambda: 1.0)
    clients.add("acme")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            clients.set_enabled("acme", enabled=False)
        assert store.version("clients") == 1
        assert clients.list()[0].enabled
        other.execute("ROLLBACK")
    clients.set_enabled("acme", enabled=False)
    assert not clients.get("acme").enabled


def test_connections_that_are_all_lent_out_end_in_unavailable(store, monkeypatch):
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    store.version("x")
    done, ready = threading.Event(), threading.Barrier(16)

    def hold():
        with store.read() as connection:
            connection.execute(sa.text("SELECT 1"))
            ready.wait(20)
            done.wait(20)

    holders = [threading.Thread(target=hold) for _ in range(15)]
    for holder in holders:
        holder.start()
    ready.wait(20)
    with pytest.raises(StoreUnavailable), store.read():
        pass
    assert store.version("x") == 0
    done.set()
    for holder in holders:
        holder.join(20)


def test_a_reader_that_writes_changes_nothing(store):
    clients = Clients(store, lambda: 1.0)
    clients.add("acme")
    with store.read() as connection:
        connection.execute(sa.text("UPDATE clients SET enabled = 0"))
    assert clients.list()[0].enabled


def test_processes_that_start_together_all_open_a_new_database(path, store):
    """Making the file, its journal and its tables is settled between them."""
    names = "abcdef"
    rivals = [start(OPEN_TOGETHER, f"sqlite:///{path}", name) for name in names]
    for rival in rivals:
        rival.stdin.write("go\n")
        rival.stdin.flush()
    for rival in rivals:
        assert rival.communicate(timeout=30) == ("True\n", None)
    assert [client.name for client in Clients(store, lambda: 1.0).list()] == list(names)
    assert store.version("clients") == 6


def test_a_change_survives_the_process_that_made_it_being_killed(path, store):
    clients = Clients(store, lambda: 1.0)
    clients.add("acme")
    assert clients.get("acme").enabled
    process = start(KILLED, f"sqlite:///{path}")
    process.communicate(timeout=30)
    assert process.returncode == -9
    assert not clients.get("acme").enabled


def test_a_confirmed_change_is_on_the_disk_and_not_only_on_its_way(store):
    """FULL: with WAL, NORMAL may lose the last commits when the power goes."""
    with store.read() as connection:
        found = [
            connection.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


@pytest.mark.parametrize("name", ["odd name.db", "a%20b?.db", "é#1.db"])
def test_any_file_name_is_a_file_name(tmp_path, name):
    with closing(Store(sa.URL.create("sqlite", database=str(tmp_path / name)))) as store:
        Clients(store, lambda: 1.0).add("acme")
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
def test_attack_a_worker_does_not_make_the_store_that_was_taken_away(path, left):
    """A new process would else find an empty store in place of the clients and revocations."""
    with closing(Store(f"sqlite:///{path}")) as made:
        Clients(made, lambda: 1.0).add("acme")
    path.rename(path.with_suffix(".old"))
    if left is not None:
        path.touch(0o600)
    with closing(Store(f"sqlite:///{path}", must_exist=True)) as store:
        with pytest.raises(StoreUnavailable):
            store.version("clients")
        with pytest.raises(StoreUnavailable):
            Clients(store, lambda: 1.0).add("other")
        assert path.exists() is (left is not None)
        path.with_suffix(".old").rename(path)
        assert [client.name for client in Clients(store, lambda: 1.0).list()] == ["acme"]


@pytest.mark.parametrize("how", ["close", "fork"])
def test_closed_under_threads_that_read_the_process_lives_and_they_read_on(path, how):
    """SQLite's handle, closed while another thread is inside it, ends the process."""
    process = start(CLOSED_UNDER_READERS, f"sqlite:///{path}", how)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "[]\n")
