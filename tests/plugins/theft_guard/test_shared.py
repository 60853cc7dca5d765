from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from plugins.theft_guard.shared import WAYS, Slots

CHECKOUT = Path(__file__).resolve().parents[3]
COUNT = """
import sys
from pathlib import Path
from plugins.theft_guard.shared import Slots
slots = Slots(Path(sys.argv[1]), {"client": 16})
print("up", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with slots.held("client", "m alice", 1.0) as memory:
        memory.slot["rows"] += 1
"""


@pytest.fixture
def slots(tmp_path):
    found = Slots(tmp_path / "store" / "slots", {"client": 16, "all": 8})
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

    slots = Slots(tmp_path / "slots", {"client": 16})
    assert int(slots.peek("client", "m alice")["rows"]) == 10_000
    slots.close()


def test_threads_do_not_lose_counts_either(slots):
    def count():
        for _ in range(1000):
            with slots.held("client", "m alice", 1.0) as memory:
                memory.slot["rows"] += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(slots.peek("client", "m alice")["rows"]) == 4000


def test_a_fork_opens_its_own_and_sees_the_same(slots):
    with slots.held("client", "m alice", 1.0) as memory:
        memory.slot["rows"] = 7
    pid = os.fork()
    if pid == 0:
        with slots.held("client", "m alice", 2.0) as memory:
            memory.slot["rows"] += 1
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert int(slots.peek("client", "m alice")["rows"]) == 8


def test_it_outlives_the_process_that_made_it(slots, tmp_path):
    key = slots.key
    with slots.held("all", "m *", 1.0) as memory:
        memory.slot["rows"] = 3
    slots.close()
    again = Slots(tmp_path / "store" / "slots", {"client": 16, "all": 8})

    assert int(again.peek("all", "m *")["rows"]) == 3
    assert again.key == key
    again.close()


def test_nobody_else_may_read_it(slots, tmp_path):
    slots.peek("client", "x")
    (file,) = (tmp_path / "store").iterdir()

    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


def test_another_size_is_another_file_and_the_old_one_goes(slots, tmp_path):
    slots.peek("client", "x")
    other = Slots(tmp_path / "store" / "slots", {"client": 32, "all": 8})
    other.peek("client", "x")

    assert len(list((tmp_path / "store").iterdir())) == 1
    with slots.held("client", "m alice", 1.0) as memory:
        memory.slot["rows"] = 1  # the unlinked file stays mapped: no signal
    other.close()


def test_it_is_allocated_whole_so_a_full_disk_shows_at_the_start(slots, tmp_path):
    slots.peek("client", "x")
    (file,) = (tmp_path / "store").iterdir()
    found = file.stat()

    assert found.st_blocks * 512 >= found.st_size > 24 * 60_000


def test_a_full_table_forgets_the_one_that_was_silent_longest_and_never_a_watched_one(slots):
    for number in range(200):
        with slots.held("client", f"m c{number}", float(number)) as memory:
            memory.slot["level"] = 2 if number == 0 else 0
    kept = {bytes(slot["name"]).decode() for slot in slots.every("client")}

    assert len(kept) == 2 * WAYS
    assert "m c0" in kept
    assert "m c199" in kept
    assert "m c1" not in kept


def test_a_stranger_has_no_slot(slots):
    assert slots.peek("client", "m nobody") is None
    assert slots.every("client") == []
