"""One file, one lock, one deadline."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time

import pytest
from limits.errors import StorageError

from plugins.rate_limit.handle import Handle


@pytest.fixture
def handle(tmp_path):
    found = Handle(tmp_path / "c.db", busy=0.2, size=1024 * 1024)
    yield found
    found.close()


def put(file, key="k"):
    file.execute("INSERT OR REPLACE INTO windows VALUES (?, 0, 0, 1, 9e9)", (key,))


COUNT = "SELECT count(*) FROM windows", ()


def test_nothing_is_open_before_it_is_used_and_then_it_is_ours_alone(handle):
    assert not handle.path.exists()
    handle.write(put)
    assert stat.S_IMODE(handle.path.stat().st_mode) == 0o600


def test_a_file_others_may_open_is_refused(handle):
    handle.path.touch(0o644)
    handle.path.chmod(0o644)
    with pytest.raises(StorageError, match="chmod 600"):
        handle.write(put)


def test_work_that_fails_leaves_nothing(handle):
    def half(file):
        put(file)
        raise KeyError("x")

    with pytest.raises(KeyError):
        handle.write(half)
    assert handle.one(*COUNT)[0] == 0


def test_a_writer_elsewhere_is_waited_for_no_longer_than_busy(handle):
    handle.write(put)
    other = sqlite3.connect(handle.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin = time.monotonic()
    with pytest.raises(StorageError):
        handle.write(put)
    assert time.monotonic() - begin >= 0.2
    assert handle.one(*COUNT)[0] == 1, "who only reads waits for nobody"
    other.execute("COMMIT")
    other.close()
    handle.write(put, "two")
    assert handle.one(*COUNT)[0] == 2


def test_a_thread_in_the_way_is_waited_for_no_longer_than_busy(handle):
    inside, leave = threading.Event(), threading.Event()

    def long(file):
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=handle.write, args=(long,))
    thread.start()
    inside.wait(10)
    for method, words in ((handle.write, (put,)), (handle.one, COUNT)):
        with pytest.raises(StorageError, match="busy"):
            method(*words)
    leave.set()
    thread.join()


def test_a_file_that_was_replaced_counts_no_more(handle, tmp_path):
    """Others would count in the new one, and both would let the limit through."""
    handle.write(put)
    handle.path.rename(tmp_path / "moved")
    with pytest.raises(StorageError):
        handle.write(put)
    handle.path.touch(0o600)
    with pytest.raises(StorageError, match="replaced"):
        handle.write(put)


def test_a_full_file_is_a_storage_error_and_not_a_larger_file(handle):
    def fill(file):
        rows = ((f"{n:0200}",) for n in range(20_000))
        file.executemany("INSERT INTO windows VALUES (?, 0, 0, 1, 9e9)", rows)

    with pytest.raises(StorageError, match="full"):
        handle.write(fill)
    handle.write(put)
    assert handle.path.stat().st_size <= 1024 * 1024
