"""So many at once, over processes, and none is lost with one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.rate_limit.slots import Slots

CHECKOUT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from plugins.rate_limit.slots import Slots
slots = Slots(Path(sys.argv[1]))
print(sum(slots.take("client|acme", 5) is not None for _ in range(int(sys.argv[2]))), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def slots(tmp_path):
    found = Slots(tmp_path / "slots")
    yield found
    found.close()


def holder(path, want):
    """Start a process that takes slots and holds them."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(want)], cwd=CHECKOUT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    return process, int(process.stdout.readline())


def buried(process):
    process.wait(10)
    process.stdin.close()
    process.stdout.close()


def test_no_more_than_so_many_and_one_given_back_is_free(slots):
    held = [slots.take("k", 3) for _ in range(3)]
    assert None not in held
    assert slots.take("k", 3) is None
    assert slots.used("k", 3) == 3
    slots.give(held[1])
    assert slots.take("k", 3) == held[1]


def test_keys_do_not_share(slots):
    assert slots.take("a", 1)
    assert slots.take("b", 1)


def test_a_slot_given_twice_frees_one(slots):
    one, _ = slots.take("k", 2), slots.take("k", 2)
    slots.give(one)
    slots.give(one)
    assert slots.used("k", 2) == 1


def test_processes_share_and_a_killed_one_gives_all_back(slots, tmp_path):
    process, got = holder(tmp_path / "slots", 3)
    assert got == 3
    assert slots.used("client|acme", 5) == 3
    mine = [slots.take("client|acme", 5) for _ in range(3)]
    assert [slot is None for slot in mine] == [False, False, True]
    process.send_signal(signal.SIGKILL)
    buried(process)
    assert slots.used("client|acme", 5) == 2
    assert slots.take("client|acme", 5) is not None


def test_a_child_holds_nothing_of_its_parents(slots):
    assert slots.take("k", 2)
    child = os.fork()
    if child == 0:
        good = slots.take("k", 2) is not None and slots.take("k", 2) is None
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert slots.used("k", 2) == 1
