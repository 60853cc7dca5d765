"""At most so many permits at once, over processes and threads, and none is lost with one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plugins.rate_limit.concurrency import ConcurrencyLimiter, Permit

CHECKOUT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from plugins.rate_limit.concurrency import ConcurrencyLimiter
limiter = ConcurrencyLimiter(Path(sys.argv[1]))
wanted = range(int(sys.argv[2]))
print(sum(limiter.acquire("client|acme", 5) is not None for _ in wanted), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def limiter(tmp_path):
    found = ConcurrencyLimiter(tmp_path / "permits")
    yield found
    found.close()


def holder(path, wanted):
    """Start a process that acquires permits and holds them; return it and how many it got."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(wanted)], cwd=CHECKOUT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    return process, int(process.stdout.readline())


def wait_for(process):
    process.wait(10)
    process.stdin.close()
    process.stdout.close()


def test_no_more_than_the_limit_and_a_released_one_is_free(limiter):
    held = [limiter.acquire("k", 3) for _ in range(3)]
    assert None not in held
    assert limiter.acquire("k", 3) is None
    assert limiter.in_use("k", 3) == 3
    limiter.release(held[1])
    assert limiter.acquire("k", 3) == held[1]


def test_keys_do_not_share_permits(limiter):
    assert limiter.acquire("a", 1)
    assert limiter.acquire("b", 1)


def test_a_permit_released_twice_frees_one(limiter):
    one, _ = limiter.acquire("k", 2), limiter.acquire("k", 2)
    limiter.release(one)
    limiter.release(one)
    assert limiter.in_use("k", 2) == 1


def test_a_permit_that_was_never_granted_frees_none(limiter):
    limiter.acquire("k", 2)
    limiter.release(Permit("k", 1))
    limiter.release(Permit("other", 0))
    assert limiter.in_use("k", 2) == 1


def test_counting_takes_no_permit(limiter):
    for _ in range(5):
        assert limiter.in_use("k", 1) == 0
    assert limiter.acquire("k", 1)


def test_a_lower_limit_counts_the_permits_that_are_held(limiter):
    """The operator lowered it while requests are at work."""
    for _ in range(3):
        limiter.acquire("k", 3)
    assert limiter.acquire("k", 2) is None
    assert limiter.in_use("k", 2) == 2


def test_closing_releases_everything_and_the_next_use_opens_again(limiter):
    for _ in range(2):
        assert limiter.acquire("k", 1)
        limiter.close()
    assert limiter.in_use("k", 1) == 0


def test_the_file_is_opened_at_first_use_for_its_owner_alone_and_stays_empty(limiter, tmp_path):
    path = tmp_path / "permits"
    assert not path.exists()
    limiter.acquire("k", 5)
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_size) == (0o600, 0)


def test_a_folder_that_is_missing_is_an_os_error(tmp_path):
    missing = ConcurrencyLimiter(tmp_path / "gone" / "permits")
    for call in (missing.acquire, missing.in_use):
        with pytest.raises(OSError, match="permits"):
            call("k", 1)
    missing.close()


def test_any_text_is_a_key(limiter):
    for key in ("", "\ud800", "a|b|" * 500, "\0"):
        assert limiter.acquire(key, 1)


def test_threads_never_hold_more_than_the_limit(limiter):
    holding, most, lock = [0], [0], threading.Lock()

    def work():
        for _ in range(200):
            permit = limiter.acquire("k", 3)
            if permit is not None:
                with lock:
                    holding[0] += 1
                    most[0] = max(most[0], holding[0])
                with lock:
                    holding[0] -= 1
                limiter.release(permit)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 3
    assert limiter.in_use("k", 3) == 0


def test_processes_share_permits_and_a_killed_one_loses_none(limiter, tmp_path):
    process, got = holder(tmp_path / "permits", 3)
    assert got == 3
    assert limiter.in_use("client|acme", 5) == 3
    mine = [limiter.acquire("client|acme", 5) for _ in range(3)]
    assert [permit is None for permit in mine] == [False, False, True]
    process.send_signal(signal.SIGKILL)
    wait_for(process)
    assert limiter.in_use("client|acme", 5) == 2
    assert limiter.acquire("client|acme", 5) is not None


def test_a_process_that_is_stopped_still_holds_its_permits(limiter, tmp_path):
    """It may go on with its request at any moment."""
    process, _ = holder(tmp_path / "permits", 5)
    process.send_signal(signal.SIGSTOP)
    assert limiter.acquire("client|acme", 5) is None
    process.send_signal(signal.SIGKILL)
    wait_for(process)
    assert limiter.acquire("client|acme", 5)


def test_a_child_holds_no_permit_of_its_parent(limiter):
    assert limiter.acquire("k", 2)
    child = os.fork()
    if child == 0:
        good = limiter.acquire("k", 2) is not None and limiter.acquire("k", 2) is None
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert limiter.in_use("k", 2) == 1


def test_a_child_cannot_release_a_permit_of_its_parent(limiter):
    permit = limiter.acquire("k", 1)
    child = os.fork()
    if child == 0:
        limiter.release(permit)
        os._exit(1 if limiter.acquire("k", 1) else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert limiter.in_use("k", 1) == 1


class PermitMachine(RuleBasedStateMachine):
    """Any order of acquiring and releasing, beside a count for each key."""

    LIMITS = {"a": 1, "b": 3}

    def __init__(self):
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.limiter = ConcurrencyLimiter(Path(self.folder.name) / "permits")
        self.held = {key: [] for key in self.LIMITS}

    @rule(key=st.sampled_from(["a", "b"]))
    def acquire(self, key):
        permit = self.limiter.acquire(key, self.LIMITS[key])
        assert (permit is not None) == (len(self.held[key]) < self.LIMITS[key])
        if permit is not None:
            assert permit not in self.held[key]
            self.held[key].append(permit)

    @rule(key=st.sampled_from(["a", "b"]), index=st.integers(0, 2))
    def release(self, key, index):
        if index < len(self.held[key]):
            self.limiter.release(self.held[key].pop(index))

    @invariant()
    def in_use_is_what_is_held(self):
        for key, limit in self.LIMITS.items():
            assert self.limiter.in_use(key, limit) == len(self.held[key])

    def teardown(self):
        self.limiter.close()
        self.folder.cleanup()


PermitMachine.TestCase.settings = settings(deadline=None, max_examples=25, stateful_step_count=20)
TestPermits = PermitMachine.TestCase
