"""An address with failures is never taken for one without for longer than a second."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.rate_limit.failure_cache import FailureCache
from secureml.testing import Clock

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(tmp_path, clock):
    return [FailureCache(tmp_path / "generation", clock) for _ in range(2)]


def test_an_entry_is_valid_until_another_worker_counts_a_failure(workers):
    here, there = workers
    assert not here.has_none("a")
    here.remember("a", here.generation())
    assert here.has_none("a")
    assert not here.has_none("b")
    there.invalidate()
    assert not here.has_none("a")


def test_an_entry_of_one_worker_is_none_of_another(workers):
    here, there = workers
    here.remember("a", here.generation())
    assert not there.has_none("a")


def test_a_failure_between_the_test_and_the_entry_is_seen(workers):
    here, there = workers
    before = here.generation()
    there.invalidate()
    here.remember("a", before)
    assert not here.has_none("a")


def test_every_failure_gives_another_generation(workers):
    here, there = workers
    seen = set()
    for _ in range(100):
        here.invalidate()
        assert here.generation() == there.generation()
        seen.add(here.generation())
    assert len(seen) == 100


def test_a_child_shares_the_generation_of_its_parent(workers):
    here, _ = workers
    here.remember("a", here.generation())
    child = os.fork()
    if child == 0:
        here.invalidate()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not here.has_none("a")


def test_a_process_killed_after_it_counted_has_invalidated_before(workers, tmp_path):
    here, _ = workers
    here.remember("a", here.generation())
    program = (
        "import os, sys, time; from pathlib import Path\n"
        "from plugins.rate_limit.failure_cache import FailureCache\n"
        "FailureCache(Path(sys.argv[1]), time.monotonic).invalidate()\n"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "generation")]
    assert subprocess.run(command, cwd=CHECKOUT, check=False).returncode == -signal.SIGKILL
    assert not here.has_none("a")


def test_no_entry_is_valid_for_more_than_a_second(workers, clock, tmp_path):
    """Somebody removed the file, and the workers that start now share another one."""
    here, _ = workers
    here.remember("a", here.generation())
    (tmp_path / "generation").unlink()
    FailureCache(tmp_path / "generation", clock).invalidate()
    assert here.has_none("a")
    clock.advance(1.0)
    assert not here.has_none("a")


def test_an_entry_may_be_renewed(workers, clock):
    here, _ = workers
    for _ in range(5):
        here.remember("a", here.generation())
        clock.advance(0.9)
        assert here.has_none("a")


def test_many_addresses_cost_bounded_memory(workers):
    here, _ = workers
    for number in range(10_000):
        here.remember(str(number), here.generation())
    assert len(here._entries[1]) <= 4096


def test_the_file_is_eight_bytes_for_its_owner_alone(workers, tmp_path):
    path = tmp_path / "generation"
    assert not path.exists(), "nothing is opened before it is used"
    workers[0].invalidate()
    found = path.stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (8, 0o600)


def test_a_new_file_never_has_the_generation_of_zeros(workers):
    assert workers[0].generation() not in (b"", bytes(8))


@pytest.mark.parametrize("path", [None, "folder/that/is/missing"])
def test_where_no_memory_can_be_shared_nothing_is_cached(tmp_path, clock, path):
    cache = FailureCache(tmp_path / path if path else None, clock)
    cache.remember("a", cache.generation())
    cache.invalidate()
    assert cache.generation() == b""
    assert not cache.has_none("a")


def test_a_failure_counts_at_once_through_the_whole_plugin(limited):
    """Two workers over one instance: what one counts, the other refuses."""
    limit = {"for": "address", "allow": "3 per minute", "unit": "failures"}
    here, there = limited(limit), limited(limit)
    assert here.passed(5) == there.passed(5) == 5
    for worker in (here, there, here):
        worker.send(status=401, client=None)
    assert here.send()[0].code == there.send()[0].code == "rate_limited"
