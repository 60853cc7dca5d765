"""The store: opened by each process for itself, and every change is seen before it matters."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading

import pytest
import sqlalchemy as sa

from secureml.state.store import Store, StoreUnavailable

metadata = sa.MetaData()
notes = sa.Table("test_notes", metadata, sa.Column("text", sa.String(20), primary_key=True))
FORK = multiprocessing.get_context("fork")


def make(folder) -> Store:
    """Return a store with a table of the test's own."""
    store = Store(f"sqlite:///{folder / 'secureml.db'}")
    store.register(metadata)
    return store


def note(store, text, topic="notes"):
    """Write a row and count the change, in one transaction."""
    with store.begin() as connection:
        connection.execute(notes.insert().values(text=text))
        store.touch(connection, topic)


def texts(store):
    """Return the rows."""
    with store.read() as connection:
        return sorted(connection.execute(sa.select(notes.c.text)).scalars())


def in_child(work, *arguments):
    """Run ``work`` in a second process and return what it puts into the queue."""
    queue = FORK.Queue()
    child = FORK.Process(target=work, args=(queue, *arguments))
    child.start()
    found = queue.get(timeout=20)
    child.join(20)
    return found


def test_nothing_is_opened_before_first_use(tmp_path):
    """Gunicorn loads the app and forks."""
    make(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_file_is_for_us_alone(tmp_path):
    """Whatever the umask."""
    before = os.umask(0)
    try:
        note(make(tmp_path), "a")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "secureml.db").stat().st_mode) == 0o600


def test_a_change_moves_its_own_topic_only(tmp_path):
    """A cache of keys is not dropped because a client changed."""
    store = make(tmp_path)
    note(store, "a", "one")
    note(store, "b", "one")

    assert (store.version("one"), store.version("two")) == (2, 0)


def test_while_nothing_changes_the_versions_are_the_same_object(tmp_path):
    """So that ``is`` is enough on the request path."""
    store = make(tmp_path)
    note(store, "a")
    before = store.versions()

    assert store.versions() is before
    note(store, "b")
    assert store.versions() is not before


def test_a_transaction_that_fails_changes_neither_rows_nor_versions(tmp_path):
    """Both are seen or neither."""
    store = make(tmp_path)
    note(store, "a")

    with pytest.raises(sa.exc.IntegrityError):
        note(store, "a")
    assert (texts(store), store.version("notes")) == (["a"], 1)


def _write_as_another(queue, folder):
    note(make(folder), "from the child")
    queue.put("done")


def test_a_commit_of_another_process_is_seen_at_once(tmp_path):
    """A revocation by the command line reaches every worker's next request."""
    store = make(tmp_path)
    note(store, "a")
    before = store.version("notes")

    in_child(_write_as_another, tmp_path)

    assert store.version("notes") == before + 1


def test_a_commit_of_another_thread_is_seen_at_once(tmp_path):
    """The watching connection never writes, so it sees this process's commits too."""
    store = make(tmp_path)
    note(store, "a")
    before = store.version("notes")
    thread = threading.Thread(target=note, args=(store, "b"))
    thread.start()
    thread.join(20)

    assert store.version("notes") == before + 1


def _use_after_fork(queue, store):
    note(store, "child")
    queue.put((store.version("notes"), texts(store)))


def test_a_forked_process_opens_its_own(tmp_path):
    """A handle from before a fork is the parent's."""
    store = make(tmp_path)
    note(store, "parent")

    assert in_child(_use_after_fork, store) == (2, ["child", "parent"])
    note(store, "parent again")
    assert store.version("notes") == 3


def _write_many(queue, folder, name, count):
    store = make(folder)
    for number in range(count):
        note(store, f"{name}{number}")
    queue.put("done")


def test_writers_of_several_processes_wait_for_one_another(tmp_path):
    """None fails with a locked database, and none is lost."""
    store = make(tmp_path)
    note(store, "first")
    queue = FORK.Queue()
    children = [
        FORK.Process(target=_write_many, args=(queue, tmp_path, name, 25)) for name in "abc"
    ]
    for child in children:
        child.start()
    assert [queue.get(timeout=60) for _ in children] == ["done"] * 3
    for child in children:
        child.join(20)

    assert (len(texts(store)), store.version("notes")) == (76, 76)


@pytest.mark.parametrize("fate", ["removed", "replaced"])
def test_a_database_that_is_moved_away_answers_no_more(tmp_path, fate):
    """Its old handle would say for ever what was true once."""
    store = make(tmp_path)
    note(store, "a")
    path = tmp_path / "secureml.db"
    path.rename(tmp_path / "elsewhere.db")
    if fate == "replaced":
        path.touch()

    with pytest.raises(StoreUnavailable):
        store.version("notes")


def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    """Not a traceback of the driver's."""
    (tmp_path / "secureml.db").write_bytes(b"nonsense" * 200)

    with pytest.raises(StoreUnavailable):
        make(tmp_path).version("notes")
    with pytest.raises(StoreUnavailable):
        note(make(tmp_path), "a")


def test_a_folder_that_is_not_there_is_unavailable(tmp_path):
    """The message names the kind of error, not the place."""
    with pytest.raises(StoreUnavailable, match="FileNotFoundError"):
        make(tmp_path / "nowhere").version("notes")


def test_a_closed_store_opens_again(tmp_path):
    """close releases; it does not end."""
    store = make(tmp_path)
    note(store, "a")
    store.close()
    store.close()

    assert texts(store) == ["a"]


def test_a_write_that_need_not_last_waits_for_no_disk_and_is_seen_all_the_same(tmp_path):
    """SQLite's word for each: 1 is NORMAL, 2 is FULL; the next lasting write is FULL again."""
    store, other = make(tmp_path), make(tmp_path)
    levels = []
    for durable in (True, False, True):
        with store.begin(durable=durable) as connection:
            levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
            store.touch(connection, "one")

    assert levels == [2, 1, 2]
    assert other.version("one") == 3


def test_a_commit_that_counts_as_no_change_leaves_the_versions_alone(tmp_path):
    """So that a busy table of no interest to anyone else empties nobody's cache."""
    store = make(tmp_path)
    note(store, "a")
    before = store.versions()
    with store.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE busy (n INTEGER)")

    assert store.versions() is before
