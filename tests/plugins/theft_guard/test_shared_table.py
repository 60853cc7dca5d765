from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from plugins.theft_guard.shared_table import WAYS, SharedTable

CHECKOUT = Path(__file__).resolve().parents[3]
COUNT = """
import sys
from pathlib import Path
from plugins.theft_guard.shared_table import SharedTable
table = SharedTable(Path(sys.argv[1]), {"client": 16})
print("up", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] += 1
"""


@pytest.fixture
def table(tmp_path):
    found = SharedTable(tmp_path / "store" / "slots", {"client": 16, "all": 8})
    yield found
    found.close()


def test_what_one_process_counts_the_other_finds_and_no_count_is_lost(tmp_path):
    words = [sys.executable, "-c", COUNT, str(tmp_path / "slots"), "5000"]
    workers = [
        subprocess.Popen(
            words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "up\n"
    for worker in workers:
        worker.communicate("go\n", timeout=60)
        assert worker.returncode == 0

    table = SharedTable(tmp_path / "slots", {"client": 16})
    assert int(table.find("client", "m alice")["rows"]) == 10_000
    table.close()


def test_threads_do_not_lose_counts_either(table):
    def count():
        for _ in range(1000):
            with table.locked("client", "m alice", 1.0) as state:
                state.record["rows"] += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(table.find("client", "m alice")["rows"]) == 4000


def test_a_fork_opens_its_own_and_sees_the_same(table):
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 7
    pid = os.fork()
    if pid == 0:
        with table.locked("client", "m alice", 2.0) as state:
            state.record["rows"] += 1
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert int(table.find("client", "m alice")["rows"]) == 8


def test_it_outlives_the_process_that_made_it(table, tmp_path):
    key = table.secret
    with table.locked("all", "m *", 1.0) as state:
        state.record["rows"] = 3
    table.close()
    again = SharedTable(tmp_path / "store" / "slots", {"client": 16, "all": 8})

    assert int(again.find("all", "m *")["rows"]) == 3
    assert again.secret == key
    again.close()


def test_nobody_else_may_read_it(table, tmp_path):
    table.find("client", "x")
    (file,) = (tmp_path / "store").iterdir()

    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


def test_another_size_is_another_file_and_the_old_one_goes(table, tmp_path):
    table.find("client", "x")
    other = SharedTable(tmp_path / "store" / "slots", {"client": 32, "all": 8})
    other.find("client", "x")

    assert len(list((tmp_path / "store").iterdir())) == 1
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 1  # the unlinked file stays mapped: no signal
    other.close()


def test_it_is_allocated_whole_so_a_full_disk_shows_at_the_start(table, tmp_path):
    table.find("client", "x")
    (file,) = (tmp_path / "store").iterdir()
    found = file.stat()

    assert found.st_blocks * 512 >= found.st_size > 24 * 60_000


def test_a_full_table_forgets_the_one_that_was_silent_longest_and_never_a_flagged_one(table):
    for number in range(200):
        with table.locked("client", f"m c{number}", float(number)) as state:
            state.record["level"] = 2 if number == 0 else 0
    kept = {bytes(record["name"]).decode() for record in table.records("client")}

    assert len(kept) == 2 * WAYS
    assert "m c0" in kept
    assert "m c199" in kept
    assert "m c1" not in kept


def test_a_stranger_has_no_record(table):
    assert table.find("client", "m nobody") is None
    assert table.records("client") == []


def test_what_the_file_holds_in_place_of_a_record_is_not_taken_for_one(table, tmp_path):
    """A file that was overwritten begins again empty, and works."""
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 7
    table.close()
    (file,) = (tmp_path / "store").iterdir()
    file.write_bytes(os.urandom(100_000))

    assert table.find("client", "m alice") is None
    with table.locked("client", "m alice", 2.0) as state:
        assert int(state.record["rows"]) == 0


def test_a_file_that_was_cut_short_is_made_whole(table, tmp_path):
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 7
    table.close()
    (file,) = (tmp_path / "store").iterdir()
    size = file.stat().st_size
    os.truncate(file, 50_000)

    assert len(table.records("client")) <= 1
    assert file.stat().st_size == size


def test_a_name_longer_than_its_field_is_still_one_subject(table):
    for _ in range(2):
        with table.locked("client", "m " + "x" * 500, 1.0) as state:
            state.record["rows"] += 1
    assert int(table.find("client", "m " + "x" * 500)["rows"]) == 2
    assert table.find("client", "m " + "x" * 499) is None


def test_kinds_do_not_share_records(table):
    for kind in ("client", "all"):
        with table.locked(kind, "m alice", 1.0) as state:
            state.record["rows"] += 1
    assert int(table.find("client", "m alice")["rows"]) == 1
    assert int(table.find("all", "m alice")["rows"]) == 1


def test_an_exception_inside_the_lock_gives_it_back(table):
    with pytest.raises(RuntimeError), table.locked("client", "m alice", 1.0):
        raise RuntimeError
    with table.locked("client", "m alice", 2.0) as state:
        assert float(state.record["last_seen"]) == 2.0


def test_a_remembered_place_that_another_process_gave_away_is_not_believed(table, tmp_path):
    with table.locked("client", "m alice", 0.0) as state:
        state.record["rows"] = 7
    other = SharedTable(tmp_path / "store" / "slots", {"client": 16, "all": 8})
    for number in range(200):
        with other.locked("client", f"m c{number}", 1.0 + number):
            pass
    assert table.find("client", "m alice") is None
    with table.locked("client", "m alice", 999.0) as state:
        assert int(state.record["rows"]) == 0
    other.close()


def test_a_clock_that_was_set_back_evicts_no_more_than_one_record(table):
    for number in range(2 * WAYS):
        with table.locked("client", f"m c{number}", 1000.0 + number):
            pass
    before = {bytes(record["name"]) for record in table.records("client")}
    with table.locked("client", "m late", 1.0):
        pass
    after = {bytes(record["name"]) for record in table.records("client")}
    assert b"m late" in after
    assert len(before - after) <= 1
