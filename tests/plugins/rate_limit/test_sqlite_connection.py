"""One file, one lock, one deadline."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import threading
import time

import pytest
from limits.errors import StorageError

from plugins.rate_limit.sqlite_connection import SQLiteConnection, retry_busy


@pytest.fixture
def connection(tmp_path):
    found = SQLiteConnection(tmp_path / "c.db", timeout=0.2, size=1024 * 1024)
    yield found
    found.close()


def put(file, key="k"):
    file.execute("INSERT OR REPLACE INTO windows VALUES (?, 0, 0, 1, 9e9)", (key,))


COUNT = "SELECT count(*) FROM windows", ()


def test_nothing_is_opened_before_it_is_used_and_then_for_its_owner_alone(connection):
    assert not connection.path.exists()
    connection.transaction(put)
    assert stat.S_IMODE(connection.path.stat().st_mode) == 0o600


def test_a_file_that_other_users_may_open_is_refused(connection):
    connection.path.touch(0o644)
    connection.path.chmod(0o644)
    with pytest.raises(StorageError, match="chmod 600"):
        connection.transaction(put)


def test_work_that_fails_is_rolled_back(connection):
    def half(file):
        put(file)
        raise KeyError("x")

    with pytest.raises(KeyError):
        connection.transaction(half)
    assert connection.execute(*COUNT)[0] == 0


def test_another_writer_is_waited_for_no_longer_than_the_timeout(connection):
    connection.transaction(put)
    other = sqlite3.connect(connection.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin = time.monotonic()
    with pytest.raises(StorageError):
        connection.transaction(put)
    assert time.monotonic() - begin >= 0.2
    assert connection.execute(*COUNT)[0] == 1, "a read waits for nobody"
    other.execute("COMMIT")
    other.close()
    connection.transaction(put, "two")
    assert connection.execute(*COUNT)[0] == 2


def test_another_thread_is_waited_for_no_longer_than_the_timeout(connection):
    inside, leave = threading.Event(), threading.Event()

    def long(file):
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=connection.transaction, args=(long,))
    thread.start()
    inside.wait(10)
    for method, words in ((connection.transaction, (put,)), (connection.execute, COUNT)):
        with pytest.raises(StorageError, match="busy"):
            method(*words)
    leave.set()
    thread.join()


def test_a_replaced_file_is_not_counted_in(connection, tmp_path):
    """Others would count in the new one, and both would let the limit through."""
    connection.transaction(put)
    connection.path.rename(tmp_path / "moved")
    with pytest.raises(StorageError):
        connection.transaction(put)
    connection.path.touch(0o600)
    with pytest.raises(StorageError, match="replaced"):
        connection.transaction(put)


def test_a_full_file_is_a_storage_error_and_not_a_larger_file(connection):
    def fill(file):
        rows = ((f"{n:0200}",) for n in range(20_000))
        file.executemany("INSERT INTO windows VALUES (?, 0, 0, 1, 9e9)", rows)

    with pytest.raises(StorageError, match="full"):
        connection.transaction(fill)
    connection.transaction(put)
    assert connection.path.stat().st_size <= 1024 * 1024


def test_a_failing_commit_releases_the_lock_for_the_next(connection):
    with pytest.raises(StorageError):
        connection.transaction(lambda file: file.execute("INSERT INTO missing VALUES (1)"))
    connection.transaction(put)
    assert connection.execute(*COUNT)[0] == 1


def test_a_statement_returns_its_first_row_or_none(connection):
    connection.transaction(put)
    assert connection.execute("SELECT key, current FROM windows", ()) == ("k", 1)
    assert connection.execute("SELECT key FROM windows WHERE key = ?", ("x",)) is None


def test_another_process_sees_what_was_committed(connection):
    connection.transaction(put)
    child = os.fork()
    if child == 0:
        connection.transaction(put, "child")
        os._exit(0 if connection.execute(*COUNT)[0] == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert connection.execute(*COUNT)[0] == 2


def test_a_process_killed_inside_a_transaction_leaves_nothing_and_no_lock(connection):
    connection.transaction(put)
    child = os.fork()
    if child == 0:

        def half(file):
            put(file, "half")
            os.kill(os.getpid(), signal.SIGKILL)

        connection.transaction(half)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    connection.transaction(put, "after")
    assert connection.execute(*COUNT)[0] == 2


def test_closing_twice_is_harmless_and_the_next_use_opens_again(connection):
    connection.transaction(put)
    connection.close()
    connection.close()
    assert connection.execute(*COUNT)[0] == 1


def test_a_busy_lock_is_retried_until_it_is_free():
    attempts = []

    def work():
        attempts.append(1)
        if len(attempts) < 5:
            error = sqlite3.OperationalError("locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return "done"

    assert retry_busy(work, time.monotonic() + 5) == "done"
    assert len(attempts) == 5


def test_another_error_is_not_retried():
    attempts = []

    def work():
        attempts.append(1)
        error = sqlite3.OperationalError("no such table")
        error.sqlite_errorcode = sqlite3.SQLITE_ERROR
        raise error

    with pytest.raises(sqlite3.OperationalError):
        retry_busy(work, time.monotonic() + 5)
    assert len(attempts) == 1
