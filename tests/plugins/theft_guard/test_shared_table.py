from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from plugins.theft_guard import shared_table
from plugins.theft_guard.client_state import RECORD
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


def test_a_worker_that_is_killed_gives_its_lock_back_and_its_numbers_stay(table):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with table.locked("client", "m alice", 1.0) as state:
            state.record["rows"] = 3
            os.write(writing, b"held")
            signal.pause()
        os._exit(1)
    assert os.read(reading, 4) == b"held"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with table.locked("client", "m alice", 2.0) as state:
        state.record["rows"] += 1

    assert int(table.find("client", "m alice")["rows"]) == 4


def test_every_field_of_a_record_is_read_back_as_it_was_written(table, tmp_path):
    """After a restart: every byte, whatever it holds."""
    written = np.frombuffer(np.random.default_rng(5).bytes(RECORD.itemsize), RECORD)[0]
    with table.locked("client", "m alice", 1.0) as state:
        key = state.record["key"].copy()
        for field in RECORD.names:
            if field != "key":
                state.record[field] = written[field]
    table.close()
    again = SharedTable(tmp_path / "store" / "slots", {"client": 16, "all": 8})
    found = again.find("client", "m alice")

    assert found["key"] == key
    for field in set(RECORD.names) - {"key"}:
        assert found[field].tobytes() == written[field].tobytes()
    again.close()


def test_a_damaged_key_is_nobodys_record_and_the_subject_begins_anew(table):
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 7
        state.record["key"] ^= 1 << 60
    assert table.find("client", "m alice") is None
    with table.locked("client", "m alice", 2.0) as state:
        assert int(state.record["rows"]) == 0


def test_copies_of_records_do_not_change_with_the_table(table):
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 1
    (copy,) = table.records("client")
    with table.locked("client", "m alice", 1.0) as state:
        state.record["rows"] = 2
    assert int(copy["rows"]) == 1
    assert int(table.find("client", "m alice")["rows"]) == 2


@pytest.mark.parametrize(("count", "records"), [(1, 8), (8, 8), (9, 16), (16, 16)])
def test_a_table_has_as_many_records_as_were_asked_for_in_whole_sets(tmp_path, count, records):
    table = SharedTable(tmp_path / "slots", {"client": count})
    for number in range(20 * records):
        with table.locked("client", f"m c{number}", float(number)):
            pass
    assert len(table.records("client")) == records
    table.close()


def test_of_eight_in_a_set_the_unflagged_go_before_the_flagged_and_the_silent_first(tmp_path):
    table = SharedTable(tmp_path / "slots", {"client": WAYS})
    for number in range(WAYS):
        with table.locked("client", f"c{number}", 100.0 - number) as state:
            state.record["level"] = number % 2
    gone = []
    for number in range(WAYS):
        before = {bytes(record["name"]) for record in table.records("client")}
        with table.locked("client", f"new{number}", 1000.0) as state:
            state.record["level"] = 9
        after = {bytes(record["name"]) for record in table.records("client")}
        gone += [name.decode() for name in before - after]

    assert gone == ["c6", "c4", "c2", "c0", "c7", "c5", "c3", "c1"]
    table.close()


def test_what_a_process_remembers_of_places_and_views_has_a_bound(table, monkeypatch):
    """And what it has forgotten it finds again."""
    for name in ("_MAX_INDEXES", "_MAX_STATES"):
        monkeypatch.setattr(shared_table, name, 4)
    for number in range(60):
        with table.locked("client", f"m c{number % 6}", 1.0 + number) as state:
            state.record["rows"] += 1
        views = table._views
        assert len(views.states) <= 4
        assert len(views.indexes) <= 6
        assert len(table._keys) <= 6
    assert [int(table.find("client", f"m c{number}")["rows"]) for number in range(6)] == [10] * 6


def test_an_error_while_a_record_is_looked_for_gives_the_lock_back(table, monkeypatch):
    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(shared_table, "_enter", fail)
        with pytest.raises(MemoryError), table.locked("client", "m alice", 1.0):
            pass
    with table.locked("client", "m alice", 2.0) as state:
        assert float(state.record["last_seen"]) == 2.0


def test_it_does_not_exist_before_somebody_opened_it(tmp_path):
    table = SharedTable(tmp_path / "slots", {"client": 8})
    assert not table.exists()
    table.find("client", "m alice")
    assert table.exists()
    table.close()
    assert table.exists()


def test_attack_keys_are_of_this_table_so_nobody_foresees_who_shares_a_set(tmp_path):
    tables = [SharedTable(tmp_path / name, {"client": 8}) for name in "ab"]
    keys = [{table._key("client", f"m c{n}") for n in range(50)} for table in tables]
    assert not keys[0] & keys[1]
    assert all(key & 1 for each in keys for key in each), "never 0, which is an empty record"
    for table in tables:
        table.close()
